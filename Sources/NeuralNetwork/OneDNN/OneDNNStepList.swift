/// Steps in order, each with the layer it is part of.
struct OneDNNStepList {
    private(set) var steps: [OneDNNStep] = []
    /// Names, one a step; the hot path never looks at them.
    private(set) var layerNames: [String] = []
    /// The layer that the next steps belong to.
    var layerName = ""

    mutating func append(_ step: OneDNNStep) {
        steps.append(step)
        layerNames.append(layerName)
    }
}
