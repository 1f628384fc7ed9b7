import StrictYAML

/// The two parts of a network before and behind one node.
extension Network {
    /// Returns the network that ends with a node: the node and all that it needs. Names stay.
    ///
    /// - Throws: ``ModelError`` where there is no node of this name.
    public func trunk(to name: String) throws(ModelError) -> Network {
        let end = try node(named: name)
        var isNeeded = [Bool](repeating: false, count: nodes.count + 1)
        isNeeded[end.output] = true
        for node in nodes[...end.index].reversed() where isNeeded[node.output] {
            for input in node.inputs { isNeeded[input] = true }
        }
        let layers = nodes[...end.index].filter { isNeeded[$0.output] }.map { wired($0) }
        return try Network(
            ModelSpecification(
                name: specification.name, inputShape: specification.inputShape, layers: layers))
    }

    /// Returns the network that begins behind a node, whose input is the node's output. Names stay.
    ///
    /// Where the node gives [N], the input is [N, 1, 1], and a layer `features` makes [N] of it.
    /// - Throws: ``ModelError`` where there is no such node, where nothing follows it, and where
    ///   something behind it reads what comes before it.
    public func head(after name: String) throws(ModelError) -> Network {
        let start = try node(named: name)
        guard start.index < nodes.count - 1 else {
            throw .model(
                model: specification.name,
                problem: "\(name): expected a node with others behind it, found the last one")
        }
        var isBehind = [Bool](repeating: false, count: nodes.count + 1)
        isBehind[start.output] = true
        let isFlat = start.outputShape.count == 1
        let entry = isFlat ? "features" : LayerNames.input
        var layers = isFlat ? [LayerSpecification(Flatten(), name: entry)] : []
        for node in nodes[(start.index + 1)...] where node.inputs.contains(where: { isBehind[$0] }) {
            isBehind[node.output] = true
        }
        for node in nodes where isBehind[node.output] && node.index != start.index {
            if let other = node.inputs.first(where: { !isBehind[$0] }) {
                let source = other == 0 ? LayerNames.input : nodes[other - 1].name
                throw .model(
                    model: specification.name,
                    problem: "\(name): expected that all behind it reads it alone, found that "
                        + "\(node.name) reads \(source)")
            }
            layers.append(wired(node, renaming: start.output, to: entry))
        }
        let shape = isFlat ? start.outputShape + [1, 1] : start.outputShape
        return try Network(
            ModelSpecification(
                name: "\(specification.name)-head", inputShape: shape, layers: layers))
    }

    private func node(named name: String) throws(ModelError) -> Node {
        if let node = nodes.first(where: { $0.name == name }) { return node }
        let names = nodes.map(\.name)
        let nearest = Spelling.nearest(to: name, among: names)
        throw .model(
            model: specification.name,
            problem: "expected a node of the model, found \(name)"
                + (nearest.map { "; did you mean \($0)?" }
                    ?? "; there are " + names.suffix(6).joined(separator: ", ")
                    + " and others, see `convoy models`"))
    }

    /// Returns a node's layer with its name and the names of what it reads written out.
    private func wired(
        _ node: Node, renaming value: Int? = nil, to name: String = ""
    ) -> LayerSpecification {
        LayerSpecification(
            node.layer, name: node.name,
            inputs: node.inputs.map { input in
                if input == value { return name }
                return input == 0 ? LayerNames.input : nodes[input - 1].name
            })
    }
}
