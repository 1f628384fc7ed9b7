/// A builder computes a network's shapes node by node; see ``Network/init(_:)``.
struct NetworkBuilder {
    /// The largest number of elements of an image, of a layer's output and of a model's parameters.
    /// It keeps every index within 32 bits.
    static let maximumElementCount = 1 << 30
    /// The largest number of nodes. It bounds the memory that a short model file can take.
    static let maximumNodeCount = 4096

    private let modelName: String
    private var shapes: [[Int]]
    private var names = LayerNames()
    /// The value that each name stands for.
    private var values = [LayerNames.input: 0]
    private var nodes: [PlannedNode] = []
    private var parameterCount = 0

    /// A node without the places of its tensors in the flat vector.
    private struct PlannedNode {
        var specification: LayerSpecification
        var name: String
        var inputs: [Int]
        var plan: LayerPlan
    }

    init(_ specification: ModelSpecification) throws(ModelError) {
        modelName = specification.name
        shapes = [specification.inputShape]
        guard shapes[0].count == 3, Self.product(shapes[0]) != nil else {
            throw .model(
                model: modelName,
                problem: "input: expected [channels, height, width], each at least 1 and "
                    + "\(Self.maximumElementCount) elements at most, found \(shapes[0])")
        }
        if specification.layers.isEmpty {
            throw .model(
                model: modelName, problem: "layers: expected at least one layer, found none")
        }
        if specification.layers.count > Self.maximumNodeCount {
            throw .model(
                model: modelName,
                problem: "layers: expected at most \(Self.maximumNodeCount) layers, found "
                    + "\(specification.layers.count)")
        }
    }

    /// Adds a layer.
    mutating func append(_ specification: LayerSpecification) throws(ModelError) {
        let layer = specification.layer
        let name = names.next(for: specification)
        func problem(_ text: String) -> ModelError {
            .layer(model: modelName, number: nodes.count + 1, name: name, problem: text)
        }
        if values[name] != nil {
            throw problem(
                name == LayerNames.input
                    ? "cannot have this name, which stands for the model's input"
                    : "has the name of an earlier layer; each name can be given once")
        }
        var inputs: [Int] = []
        for source in specification.inputs ?? [] {
            guard let value = values[source] else {
                throw problem(
                    "reads from \(source), which is no earlier layer; a layer reads from layers "
                        + "before it, or from input")
            }
            inputs.append(value)
        }
        if specification.inputs == nil { inputs = [nodes.count] }
        let counts = type(of: layer).inputCounts
        guard counts.contains(inputs.count) else {
            let expected =
                counts.lowerBound == counts.upperBound
                ? "\(counts.lowerBound)"
                : inputs.count < counts.lowerBound
                    ? "at least \(counts.lowerBound)" : "at most \(counts.upperBound)"
            throw problem("expects \(expected) inputs, gets \(inputs.count); name them with from")
        }
        let plan: LayerPlan
        do throws(LayerProblem) {
            plan = try layer.plan(inputs.map { shapes[$0] })
        } catch {
            throw problem(error.text)
        }
        for slot in plan.slots {
            let count = Self.product(slot.shape) ?? Self.maximumElementCount + 1
            parameterCount += count
            guard parameterCount <= Self.maximumElementCount else {
                throw problem(
                    "its \(slot.suffix) of \(slot.shape) brings the model over "
                        + "\(Self.maximumElementCount) parameters")
            }
        }
        guard Self.product(plan.output) != nil else {
            throw problem(
                "its output of \(plan.output) is larger than \(Self.maximumElementCount) elements")
        }
        nodes.append(
            PlannedNode(specification: specification, name: name, inputs: inputs, plan: plan))
        shapes.append(plan.output)
        values[name] = nodes.count
    }

    /// Returns the nodes, and the places of their tensors: first those that are trained, then the
    /// statistics.
    func finish() throws(ModelError) -> ([Node], ParameterLayout) {
        try requireReaders()
        var slots: [ParameterSlot] = []
        var indices = [[Int]](repeating: [], count: nodes.count)
        for isStatistic in [false, true] {
            for (index, node) in nodes.enumerated() {
                for request in node.plan.slots where request.kind.isStatistic == isStatistic {
                    indices[index].append(slots.count)
                    slots.append(
                        ParameterSlot(
                            name: "\(node.name).\(request.suffix)", offset: 0,
                            shape: request.shape, fanIn: request.fanIn, fanOut: request.fanOut,
                            kind: request.kind, initial: request.initial,
                            momentum: request.momentum))
                }
            }
        }
        let placed = nodes.enumerated().map { index, node in
            Node(
                specification: node.specification, index: index, name: node.name,
                inputs: node.inputs, inputShapes: node.inputs.map { shapes[$0] },
                outputShape: node.plan.output, padding: node.plan.padding, slots: indices[index])
        }
        return (placed, ParameterLayout(slots: slots, nodes: indices))
    }

    /// Checks that each node but the last one is read by another.
    private func requireReaders() throws(ModelError) {
        var isRead = [Bool](repeating: false, count: nodes.count + 1)
        for node in nodes { for value in node.inputs { isRead[value] = true } }
        for index in nodes.indices.dropLast() where !isRead[index + 1] {
            throw .layer(
                model: modelName, number: index + 1, name: nodes[index].name,
                problem: "is read by no other layer, and only the last layer may be so; name it "
                    + "in the from of another layer, or remove it")
        }
    }

    /// Returns the product of the numbers; nil when one of them is below 1, or when the product
    /// exceeds ``maximumElementCount``.
    static func product(_ numbers: [Int]) -> Int? {
        var result = 1
        for number in numbers {
            let (product, overflows) = result.multipliedReportingOverflow(by: number)
            guard number >= 1, !overflows, product <= maximumElementCount else { return nil }
            result = product
        }
        return result
    }
}

/// The names of a model's layers: the given one, or the kind and its number.
struct LayerNames {
    /// The name that stands for the model's input.
    static let input = "input"

    private var countOfPrefix: [String: Int] = [:]

    /// Returns the name of the next layer.
    mutating func next(for layer: LayerSpecification) -> String {
        let prefix = type(of: layer.layer).namePrefix
        countOfPrefix[prefix, default: 0] += 1
        return layer.name ?? "\(prefix)\(countOfPrefix[prefix] ?? 1)"
    }
}
