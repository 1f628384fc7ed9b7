import Buffers
import Checksums
import ClusterProtocol
import FoundationEssentials
import NeuralNetwork
import Partitions
import SafeTensors
import StrictYAML

/// Reads checkpoint directories and model files without knowing their model beforehand.
public enum CheckpointReader {
    /// Reads the `state.json` of a checkpoint directory.
    ///
    /// - Throws: `.storage` when it cannot be read, `.checkpoint` when it does not describe a
    ///   checkpoint of version 1.
    public static func state(_ path: String) throws(RunError) -> CheckpointState {
        let file = "\(path)/\(CheckpointStore.stateFile)"
        return try state(FileSystem.read(file), file: file)
    }

    /// Reads the content of a `state.json` from memory.
    ///
    /// - Parameters:
    ///   - bytes: the content of a `state.json`.
    ///   - file: the name for error messages.
    package static func state(_ bytes: [UInt8], file: String) throws(RunError) -> CheckpointState {
        guard let state = try? JSONDecoder().decode(CheckpointState.self, from: Data(bytes)),
            state.format == "convoy-checkpoint", state.version == 1
        else { throw .checkpoint("\(file): it does not describe a Convoy checkpoint of version 1") }
        return state
    }

    /// Reads the files of a checkpoint and compares them with their lengths and checksums: model,
    /// optimizer and, where the checkpoint has it, the average of the weights.
    ///
    /// - Throws: `.storage` when a file cannot be read, `.checkpoint` when it differs.
    public static func verify(_ path: String, _ state: CheckpointState) throws(RunError) {
        let averages = [CheckpointStore.averageFile].filter { state.files[$0] != nil }
        for name in [CheckpointStore.modelFile, CheckpointStore.optimizerFile] + averages {
            guard let expected = state.files[name] else {
                throw .checkpoint("\(path): state.json does not list \(name)")
            }
            let bytes = try FileSystem.read("\(path)/\(name)")
            guard bytes.count == expected.bytes else {
                throw .checkpoint(
                    "\(path)/\(name): expected \(expected.bytes) bytes, found \(bytes.count); "
                        + "the file is torn, use an older checkpoint")
            }
            let found = bytes.withUnsafeBytes { SHA256.hexadecimal(of: $0) }
            guard found == expected.sha256 else {
                throw .checkpoint(
                    "\(path)/\(name): expected SHA-256 \(expected.sha256.prefix(16))..., found "
                        + "\(found.prefix(16))...; the file is corrupt, use an older checkpoint")
            }
        }
    }

    /// Reads a safetensors file.
    package static func tensors(_ path: String) throws(RunError) -> SafeTensorsFile {
        do throws(SafeTensorsError) { return try SafeTensorsFile.read(path: path) } catch {
            throw RunError(error)
        }
    }

    /// Gathers named tensors into a flat vector.
    ///
    /// - Parameters:
    ///   - tensors: the file that holds the tensors.
    ///   - prefix: the text before each slot's name in the file.
    ///   - layout: the slots of the flat vector.
    ///   - mayLack: whether a slot has no tensor in the file; zeros take its place.
    ///   - file: the name for error messages.
    /// - Throws: `.checkpoint` when a tensor is missing, or when its shape is not the slot's.
    public static func flat(
        _ tensors: SafeTensorsFile, prefix: String, layout: ParameterLayout,
        mayLack: (ParameterSlot) -> Bool = { _ in false }, file: String
    ) throws(RunError) -> FloatBuffer {
        // All tensors are checked before memory is allocated: the model in the metadata may claim a
        // size that the file does not have.
        let slots = layout.slots.filter { !mayLack($0) }
        let found = try slots.map { slot throws(RunError) in
            try tensor(
                tensors, prefix: prefix, for: slot, file: file,
                advice: "; is it a checkpoint of another model?")
        }
        let buffer = FloatBuffer(count: layout.elementCount)
        for (slot, tensor) in zip(slots, found) {
            do throws(SafeTensorsError) {
                try tensor.floats().withUnsafeBytes { buffer.copy($0, to: slot.offset) }
            } catch {
                throw RunError(error, in: file)
            }
        }
        return buffer
    }

    /// Returns the tensor of a slot.
    ///
    /// - Parameter advice: the end of the message when it is missing or has another shape.
    static func tensor(
        _ tensors: SafeTensorsFile, prefix: String, for slot: ParameterSlot, file: String,
        advice: String
    ) throws(RunError) -> SafeTensor {
        guard let tensor = tensors[prefix + slot.name] else {
            let names = tensors.tensors.map(\.name)
            throw .checkpoint(
                "\(file): expected tensor \(prefix + slot.name) \(slot.shape), found "
                    + names.prefix(6).joined(separator: ", ")
                    + (names.count > 6 ? " and \(names.count - 6) more" : "") + advice)
        }
        guard tensor.shape == slot.shape else {
            throw .checkpoint(
                "\(file): tensor \(tensor.name): expected shape \(slot.shape), found "
                    + "\(tensor.shape)\(advice)")
        }
        return tensor
    }

    /// Reads a model and its weights.
    ///
    /// - Parameters:
    ///   - path: a checkpoint directory, a run directory (its newest checkpoint is read) or a model
    ///     file.
    ///   - isAveraged: whether to read the average of the weights of a checkpoint.
    /// - Throws: `.storage` for a file that cannot be read, `.checkpoint` for one that is damaged
    ///   or does not hold a model, and for a checkpoint without an average that is asked for.
    public static func model(
        _ path: String, isAveraged: Bool = false
    ) throws(RunError) -> (
        network: Network, weights: FloatBuffer, input: ModelInput, loss: LossFunction
    ) {
        let file = try modelFile(path, isAveraged: isAveraged)
        let tensors = try tensors(file)
        guard let text = tensors.metadata["model_file"] else {
            throw .checkpoint(
                "\(file): its metadata does not hold the model; was it written by Convoy?")
        }
        let name = tensors.metadata["model"] ?? "model"
        do {
            let mapping = try StrictDocument.parse(text, fileName: file)
            let network = try Network(ModelSpecification(name: name, mapping: mapping))
            let weights = try flat(
                tensors, prefix: "", layout: network.parameters, file: file)
            let input = try ModelInput(metadata: tensors.metadata, file: file)
            let loss = try loss(tensors.metadata["loss"], file: file)
            return (network, weights, input, loss)
        } catch let error as RunError {
            throw error
        } catch {
            throw .checkpoint("\(file): \(error)")
        }
    }

    /// The loss of test records as a file's metadata gives it; nil for cross-entropy, so that
    /// models of classes have the metadata that they have always had.
    static func lossText(_ loss: LossFunction) -> String? {
        loss.ofTestRecords == LossFunction() ? nil : loss.name
    }

    /// Reads what ``lossText(_:)`` wrote.
    private static func loss(_ text: String?, file: String) throws(RunError) -> LossFunction {
        guard let text else { return LossFunction() }
        guard let loss = LossFunction(named: text) else {
            throw .checkpoint("\(file): its metadata names a loss that is not known: \(text)")
        }
        return loss
    }

    /// Returns the safetensors file of a checkpoint, of the newest checkpoint of a run, or `path`
    /// itself. A checkpoint is verified first.
    package static func modelFile(
        _ path: String, isAveraged: Bool = false
    ) throws(RunError) -> String {
        if FileSystem.exists("\(path)/\(CheckpointStore.stateFile)") {
            let state = try state(path)
            try verify(path, state)
            guard isAveraged else { return "\(path)/\(CheckpointStore.modelFile)" }
            guard state.files[CheckpointStore.averageFile] != nil else {
                throw .checkpoint(
                    "\(path): expected an average of the weights (\(CheckpointStore.averageFile)), "
                        + "found none; a run keeps one with --ema")
            }
            return "\(path)/\(CheckpointStore.averageFile)"
        }
        let directory = FileSystem.exists("\(path)/checkpoints") ? "\(path)/checkpoints" : path
        if let step = CheckpointStore.steps(in: directory).last {
            return try modelFile(
                "\(directory)/\(CheckpointStore.name(step: step))", isAveraged: isAveraged)
        }
        if isAveraged, FileSystem.exists(path) {
            throw .checkpoint(
                "\(path): expected a checkpoint or a run directory, which may hold an average of "
                    + "the weights, found another file")
        }
        return path
    }
}
