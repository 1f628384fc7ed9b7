/// Tensors that the optimizer treats in another way than all others.
public struct ParameterGroup: Sendable, Hashable {
    /// The names of the tensors.
    public var match: NamePattern
    /// What the learning rate is multiplied by; nil leaves it to other groups.
    public var rate: Double?
    /// What the weight decay is multiplied by; nil leaves it to other groups.
    public var decay: Double?

    /// Creates a group.
    public init(match: NamePattern, rate: Double? = nil, decay: Double? = nil) {
        self.match = match
        self.rate = rate
        self.decay = decay
    }

    /// Returns the factors of learning rate and weight decay for a tensor. Of several groups that
    /// match its name, the last one counts.
    static func factors(
        _ groups: [ParameterGroup], of name: String
    ) -> (rate: Double, decay: Double) {
        var (rate, decay) = (1.0, 1.0)
        for group in groups where group.match.matches(name) {
            rate = group.rate ?? rate
            decay = group.decay ?? decay
        }
        return (rate, decay)
    }
}
