import Buffers
import NeuralNetwork
import SafeTensors

/// The weights that a run starts from: those of a file, and those of the seed for tensors that the
/// file does not give.
package struct InitialWeights {
    /// The flat vector, in the layout of the network.
    package let weights: FloatBuffer
    /// What came from where, on one line; nil without a file.
    package let report: String?

    /// Draws weights from the seed, or reads them from the file of `init`.
    ///
    /// - Throws: `.storage` when the file cannot be read; `.checkpoint` when a tensor is missing,
    ///   has another shape or holds a number that is not finite, and `init.except` does not name
    ///   it; `.configuration` for an exception that names no tensor.
    package init(_ configuration: RunConfiguration, _ network: Network) throws(RunError) {
        let layout = network.parameters
        let weights = FloatBuffer(count: layout.elementCount)
        self.weights = weights
        func draw(where isDrawn: (ParameterSlot) -> Bool) {
            for (index, slot) in layout.slots.enumerated() where isDrawn(slot) {
                network.initialize(
                    slot: index, seed: configuration.training.seed,
                    UnsafeMutableBufferPointer(
                        start: weights.pointer + slot.offset, count: slot.elementCount))
            }
        }
        let patterns = configuration.initial.except.map(NamePattern.init)
        guard let path = configuration.initial.file else {
            guard patterns.isEmpty else {
                throw .configuration("init.except: expected init.file with it, found none")
            }
            draw { _ in true }
            report = nil
            return
        }
        do throws(ModelError) {
            try network.requireTensors(of: patterns, "init.except: expected a pattern")
        } catch {
            throw .configuration("\(error)")
        }
        let file = try CheckpointReader.modelFile(path)
        let tensors = try CheckpointReader.tensors(file)
        let isExcepted = { (name: String) in patterns.contains { $0.matches(name) } }
        let wanted = layout.slots.filter { !isExcepted($0.name) }
        let found = try wanted.map { slot throws(RunError) in
            try CheckpointReader.tensor(
                tensors, prefix: "", for: slot, file: file,
                advice: "; init.except (--init-except) names what is drawn from the seed")
        }
        for (slot, tensor) in zip(wanted, found) {
            let values: [Float]
            do throws(SafeTensorsError) { values = try tensor.floats() } catch {
                throw RunError(error, in: file)
            }
            if let index = values.firstIndex(where: { !$0.isFinite }) {
                throw .checkpoint(
                    "\(file): tensor \(slot.name): element \(index) is not a finite number (found "
                        + "\(values[index])); train from a checkpoint of before")
            }
            values.withUnsafeBytes { weights.copy($0, to: slot.offset) }
        }
        draw { isExcepted($0.name) }
        let fresh = layout.slots.filter { isExcepted($0.name) }.map { "\($0.name) \($0.shape)" }
        let names = Set(wanted.map(\.name))
        let unused = tensors.tensors.filter { !names.contains($0.name) }.map {
            "\($0.name) \($0.shape)"
        }
        report =
            "init: \(wanted.count) tensors from \(file)"
            + Self.list(fresh, "drawn from the seed") + Self.list(unused, "of the file not used")
    }

    private static func list(_ names: [String], _ what: String) -> String {
        if names.isEmpty { return "" }
        let shown = names.prefix(4).joined(separator: ", ")
        return "; \(names.count) \(what): \(shown)"
            + (names.count > 4 ? " and \(names.count - 4) more" : "")
    }
}
