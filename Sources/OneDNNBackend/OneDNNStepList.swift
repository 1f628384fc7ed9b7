import NeuralNetwork

/// Steps in order, each with the name of the layer that it is part of.
struct OneDNNStepList {
    private(set) var steps: [OneDNNStep] = []
    /// The layers' names, one for each step. They are used only for breakdowns of the time.
    private(set) var layerNames: [String] = []
    /// The layer that the next steps belong to.
    var layerName = ""

    mutating func append(_ step: OneDNNStep) {
        steps.append(step)
        layerNames.append(layerName)
    }
}
