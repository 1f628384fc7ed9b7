/// Frozen tensors: they are neither differentiated nor updated, and a batch normalisation whose
/// statistics are frozen normalises by them.
extension Network {
    /// Returns this network with the tensors frozen whose names match a pattern; all others are not.
    ///
    /// The two statistics of a batch normalisation are frozen together.
    /// - Throws: ``ModelError`` for a pattern that no tensor's name matches, and where no tensor
    ///   would be left to train.
    public func freezing(_ patterns: [NamePattern]) throws(ModelError) -> Network {
        try requireTensors(of: patterns, "freeze: expected a pattern")
        var slots = parameters.slots
        for index in slots.indices {
            slots[index].isFrozen = patterns.contains { $0.matches(slots[index].name) }
        }
        for node in nodes {
            let statistics = node.slots.filter { slots[$0].kind.isStatistic }
            guard statistics.contains(where: { slots[$0].isFrozen }) else { continue }
            for index in statistics { slots[index].isFrozen = true }
        }
        guard slots.isEmpty || slots.contains(where: { $0.role == .trained }) else {
            throw .model(
                model: specification.name,
                problem: "freeze: expected to leave a tensor to train, found that "
                    + patterns.map(\.text).joined(separator: ", ") + " freeze all")
        }
        return with(ParameterLayout(slots: slots, nodes: nodes.map(\.slots)))
    }

    /// This network with nothing frozen, its tensors in slot order.
    public var unfrozen: Network {
        var slots = parameters.slots
        for index in slots.indices { slots[index].isFrozen = false }
        return with(ParameterLayout(slots: slots, nodes: nodes.map(\.slots)))
    }

    /// Refuses a pattern that no tensor's name matches.
    ///
    /// - Parameter expectation: the beginning of the message: the key, and what it expects.
    public func requireTensors(
        of patterns: [NamePattern], _ expectation: String
    ) throws(ModelError) {
        for pattern in patterns
        where !parameters.slots.contains(where: { pattern.matches($0.name) }) {
            throw .model(
                model: specification.name,
                problem: "\(expectation) that names tensors of the model, found "
                    + "\(pattern)\(nameHint(pattern))")
        }
    }

    /// Returns the first names of tensors, for a pattern that matches none.
    private func nameHint(_ pattern: NamePattern) -> String {
        let names = parameters.slots.map(\.name)
        let beginning = pattern.text.prefix { $0 != "*" && $0 != "?" && $0 != "." }
        let near = names.filter { !beginning.isEmpty && $0.hasPrefix(beginning) }
        let shown = (near.isEmpty ? names : near).prefix(4)
        return "; there are " + shown.joined(separator: ", ")
            + (names.count > shown.count ? " and others, see `convoy models`" : "")
    }

    /// Whether anything of a node is trained.
    func isTrained(_ node: Node) -> Bool {
        node.slots.contains { parameters.slots[$0].role == .trained }
    }

    /// Whether a node has statistics and these are frozen.
    func hasFrozenStatistics(_ node: Node) -> Bool {
        node.slots.contains {
            parameters.slots[$0].kind.isStatistic && parameters.slots[$0].isFrozen
        }
    }

    /// Returns the elements of the flat vector that hold a node's trained tensors.
    func trainedRange(_ node: Node) -> Range<Int> {
        let ranges = node.slots.map { parameters.slots[$0] }.filter { $0.role == .trained }
            .map(\.range)
        guard let first = ranges.first, let last = ranges.last else { return 0..<0 }
        return first.lowerBound..<last.upperBound
    }

    /// For each value, whether its gradient is needed: a trained tensor was used for it.
    func gradientsNeeded(ofImages: Bool) -> [Bool] {
        var isNeeded = [ofImages] + nodes.map(isTrained)
        for node in nodes where node.inputs.contains(where: { isNeeded[$0] }) {
            isNeeded[node.output] = true
        }
        return isNeeded
    }
}
