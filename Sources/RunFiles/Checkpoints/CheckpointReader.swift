import Buffers
import Checksums
import ClusterProtocol
import FoundationEssentials
import NeuralNetwork
import Partitions
import SafeTensors
import StrictYAML

/// Reads checkpoint directories and model files of which nothing is known beforehand.
public enum CheckpointReader {
    public static func state(_ path: String) throws(Failure) -> CheckpointState {
        let file = "\(path)/\(CheckpointStore.stateFile)"
        return try state(FileSystem.read(file), file: file)
    }

    /// The same from memory; `file` is only a name for errors.
    package static func state(_ bytes: [UInt8], file: String) throws(Failure) -> CheckpointState {
        guard let state = try? JSONDecoder().decode(CheckpointState.self, from: Data(bytes)),
            state.format == "convoy-checkpoint", state.version == 1
        else { throw .data("\(file): it does not describe a Convoy checkpoint of version 1") }
        return state
    }

    /// Reads every file through and compares it with its checksum.
    public static func verify(_ path: String, _ state: CheckpointState) throws(Failure) {
        for name in [CheckpointStore.modelFile, CheckpointStore.optimizerFile] {
            guard let expected = state.files[name] else {
                throw .data("\(path): state.json does not list \(name)")
            }
            let bytes = try FileSystem.read("\(path)/\(name)")
            guard bytes.count == expected.bytes else {
                throw .data(
                    "\(path)/\(name): expected \(expected.bytes) bytes, found \(bytes.count); "
                        + "the file is torn, use an older checkpoint")
            }
            let found = bytes.withUnsafeBytes { SHA256.hexadecimal(of: $0) }
            guard found == expected.sha256 else {
                throw .data(
                    "\(path)/\(name): expected SHA-256 \(expected.sha256.prefix(16))..., found "
                        + "\(found.prefix(16))...; the file is corrupt, use an older checkpoint")
            }
        }
    }

    package static func tensors(_ path: String) throws(Failure) -> SafeTensorsFile {
        do throws(SafeTensorsError) { return try SafeTensorsFile.read(path: path) } catch {
            throw .data("\(error)")
        }
    }

    /// Gathers named tensors into a flat vector; names and shapes must be the layout's.
    public static func flat(
        _ tensors: SafeTensorsFile, prefix: String, layout: ParameterLayout, file: String
    ) throws(Failure) -> FloatBuffer {
        // Before memory is taken: what the model says of itself may be more than there is.
        let found = try layout.slots.map { slot throws(Failure) in
            guard let tensor = tensors[prefix + slot.name] else {
                let names = tensors.tensors.map(\.name).joined(separator: ", ")
                throw .data("\(file): expected tensor \(prefix + slot.name), found \(names)")
            }
            guard tensor.shape == slot.shape else {
                throw .data(
                    "\(file): tensor \(tensor.name): expected shape \(slot.shape), found "
                        + "\(tensor.shape); is it a checkpoint of another model?")
            }
            return tensor
        }
        let buffer = FloatBuffer(count: layout.elementCount)
        for (slot, tensor) in zip(layout.slots, found) {
            do throws(SafeTensorsError) {
                try tensor.floats().withUnsafeBytes { buffer.copy($0, to: slot.offset) }
            } catch {
                throw .data("\(file): \(error)")
            }
        }
        return buffer
    }

    /// Initial weights from any safetensors file with the right tensors.
    public static func weights(
        file: String, layout: ParameterLayout
    ) throws(Failure) -> FloatBuffer {
        let weights = try flat(tensors(file), prefix: "", layout: layout, file: file)
        for slot in layout.slots {
            let values = UnsafeBufferPointer(
                start: weights.pointer + slot.range.lowerBound, count: slot.range.count)
            guard let index = values.firstIndex(where: { !$0.isFinite }) else { continue }
            throw .data(
                "\(file): tensor \(slot.name): element \(index) is not a finite number (found "
                    + "\(values[index])); train from a checkpoint of before")
        }
        return weights
    }

    /// A model with its weights, from a checkpoint directory, a run directory (its newest), or a file.
    public static func model(
        _ path: String
    ) throws(Failure) -> (
        network: Network, weights: FloatBuffer, transformations: [Transformation]
    ) {
        let file = try modelFile(path)
        let tensors = try tensors(file)
        guard let text = tensors.metadata["model_file"] else {
            throw .data("\(file): its metadata does not hold the model; was it written by Convoy?")
        }
        let name = tensors.metadata["model"] ?? "model"
        do {
            let mapping = try StrictDocument.parse(text, fileName: file)
            let network = try Network(ModelSpecification(name: name, mapping: mapping))
            let weights = try flat(
                tensors, prefix: "", layout: network.parameters, file: file)
            let transformations = try TransformationText.decode(
                tensors.metadata["transformations"], file: file)
            return (network, weights, transformations)
        } catch let failure as Failure {
            throw failure
        } catch {
            throw .data("\(file): \(error)")
        }
    }

    private static func modelFile(_ path: String) throws(Failure) -> String {
        if FileSystem.exists("\(path)/\(CheckpointStore.stateFile)") {
            try verify(path, state(path))
            return "\(path)/\(CheckpointStore.modelFile)"
        }
        let directory = FileSystem.exists("\(path)/checkpoints") ? "\(path)/checkpoints" : path
        if let step = CheckpointStore.steps(in: directory).last {
            return try modelFile("\(directory)/\(CheckpointStore.name(step: step))")
        }
        return path
    }
}
