import Buffers
import Checksums
import ClusterProtocol
import FoundationEssentials
import NeuralNetwork
import SafeTensors
import StrictYAML

/// Reads and writes `checkpoints/step-NNNNNNNN/`.
///
/// A checkpoint is written under a temporary name, synced file by file, renamed, and the directory
/// synced: a name without `.tmp` is whole, whatever happened. Which one is newest is decided by its
/// number, never by its time.
public struct CheckpointStore: Sendable {
    public static let modelFile = "model.safetensors"
    public static let optimizerFile = "optimizer.safetensors"
    public static let stateFile = "state.json"
    /// Checkpoints that are kept: the last ones.
    public static let keptCount = 3

    public let directory: String
    private let material: RunMaterial
    private let history: SettingsHistory
    private let mayDiffer: Bool
    /// Asked before each write; nil for who only reads.
    private let fence: RunFence?

    /// - Parameters:
    ///   - history: settings that were changed since a checkpoint was written.
    ///   - mayDiffer: also reads what was written with other settings.
    public init(
        _ directory: String, material: RunMaterial, history: SettingsHistory = SettingsHistory(),
        mayDiffer: Bool = false
    ) {
        self.init(
            directory, material: material, history: history, mayDiffer: mayDiffer, fence: nil)
    }

    package init(
        _ directory: String, material: RunMaterial, history: SettingsHistory = SettingsHistory(),
        mayDiffer: Bool = false, fence: RunFence?
    ) {
        self.directory = directory
        self.material = material
        self.history = history
        self.mayDiffer = mayDiffer
        self.fence = fence
    }

    public static func name(step: Int) -> String {
        let digits = "\(step)"
        return "step-" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
    }

    public static func step(name: String) -> Int? {
        guard name.hasPrefix("step-"), !name.hasSuffix(".tmp") else { return nil }
        return Int(name.dropFirst(5))
    }

    public static func steps(in directory: String) -> [Int] {
        FileSystem.names(in: directory).compactMap(step(name:)).sorted()
    }

    public func path(step: Int) -> String { "\(directory)/\(Self.name(step: step))" }

    // MARK: Writing

    public func write(_ checkpoint: Checkpoint, instructionSet: String) throws(Failure) {
        let final = path(step: checkpoint.step)
        let temporary = "\(final).tmp"
        try fence?.requireHeld()
        FileSystem.remove(temporary)
        do throws(Failure) {
            try FileSystem.makeDirectories(temporary)
            var files: [String: CheckpointState.File] = [:]
            files[Self.modelFile] = try write(
                tensors(checkpoint.parts[0], prefix: ""), to: "\(temporary)/\(Self.modelFile)")
            let names = material.configuration.optimizer.stateNames
            let optimizer = zip(names, checkpoint.parts.dropFirst()).flatMap { name, part in
                tensors(part, prefix: "\(name).")
            }
            files[Self.optimizerFile] = try write(
                optimizer, to: "\(temporary)/\(Self.optimizerFile)")
            let description = state(
                of: checkpoint, files: files, instructionSet: instructionSet)
            try FileSystem.write(
                Self.encode(description), to: "\(temporary)/\(Self.stateFile)")
            try FileSystem.synchronize(directory: temporary)
            try fence?.requireHeld()
            if FileSystem.exists(final) {
                try FileSystem.replaceDirectory(final, with: temporary)
            } else {
                try FileSystem.rename(temporary, to: final)
            }
        } catch {
            if fence?.isHeld ?? true { FileSystem.remove(temporary) }
            throw error
        }
    }

    private func tensors(_ part: FloatBuffer, prefix: String) -> [SafeTensor] {
        material.network.parameters.slots.map { slot in
            SafeTensor(
                name: prefix + slot.name, dataType: .F32, shape: slot.shape,
                bytes: Array(part.bytes(slot.range)))
        }
    }

    private func write(
        _ tensors: [SafeTensor], to path: String
    ) throws(Failure) -> CheckpointState.File {
        let specification = material.network.specification
        let metadata = [
            "format": "pt", "model": specification.name, "model_file": specification.yaml,
            "data": material.configuration.data.source,
            "transformations": TransformationText.encode(
                material.configuration.data.transformations),
        ]
        let bytes: [UInt8]
        do throws(SafeTensorsError) {
            bytes = try SafeTensorsFile.encode(tensors: tensors, metadata: metadata)
        } catch {
            throw .data("\(error)")
        }
        try FileSystem.write(bytes, to: path)
        let sha256 = bytes.withUnsafeBytes { SHA256.hexadecimal(of: $0) }
        return CheckpointState.File(bytes: bytes.count, sha256: sha256)
    }

    private func state(
        of checkpoint: Checkpoint, files: [String: CheckpointState.File], instructionSet: String
    ) -> CheckpointState {
        let training = material.configuration.training
        return CheckpointState(
            step: checkpoint.step, epoch: material.batchPlan.epoch(ofStep: checkpoint.step),
            stepInEpoch: material.batchPlan.stepInEpoch(checkpoint.step),
            model: material.network.specification.name,
            modelFingerprint: material.network.fingerprint,
            dataFingerprint: material.data.fingerprint,
            optimizer: material.configuration.optimizer.name, seed: training.seed,
            batchSize: training.batchSize, virtualWorkers: training.virtualWorkers,
            backend: material.backend.rawValue, instructionSet: instructionSet,
            precision: training.precision.rawValue,
            wirePrecision: training.wirePrecision.rawValue,
            settings: settings(instructionSet: instructionSet),
            weightsSHA256: checkpoint.weightsSHA256, files: files)
    }

    /// With the instruction set that the workers settled on, where it decides bits.
    private func settings(instructionSet: String) -> [String: String] {
        var settings = Dictionary(
            material.decisions.map { ($0.key, $0.text) }, uniquingKeysWith: { first, _ in first })
        if material.backend == .oneDNN, InstructionSet.ascending.contains(instructionSet) {
            settings[RunConfiguration.Key.instructionSet] = instructionSet
        }
        return settings
    }

    private static func encode(_ state: CheckpointState) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        // A plain value; encoding it cannot fail.
        return (try? encoder.encode(state)).map { Array($0) } ?? []
    }

    /// Removes all but the last few, and what unfinished writes have left.
    public func prune(keeping extra: Set<Int> = []) {
        guard fence?.isHeld ?? true else { return }
        for name in FileSystem.names(in: directory) where name.hasSuffix(".tmp") {
            FileSystem.remove("\(directory)/\(name)")
        }
        for step in Self.steps(in: directory).dropLast(Self.keptCount) where !extra.contains(step) {
            // Half removed it must not have a name that promises a whole one.
            let temporary = "\(path(step: step)).tmp"
            try? FileSystem.rename(path(step: step), to: temporary)
            FileSystem.remove(temporary)
        }
    }

    // MARK: Reading

    /// Reads a checkpoint and checks everything about it.
    public func read(step: Int) throws(Failure) -> Checkpoint {
        let path = path(step: step)
        let state = try CheckpointReader.state(path)
        try CheckpointReader.verify(path, state)
        guard state.modelFingerprint == material.network.fingerprint else {
            throw .data(
                "\(path): it holds model \(state.model) (\(state.modelFingerprint)), the run has "
                    + "\(material.network.specification.name) (\(material.network.fingerprint))")
        }
        if !mayDiffer { try requireSameRun(state, path) }
        guard state.step == step else {
            throw .data("\(path): expected the state of step \(step), found \(state.step)")
        }
        let beginsAnew = beginsAnew(state)
        let optimizer = try CheckpointReader.tensors("\(path)/\(Self.optimizerFile)")
        var parts = [
            try CheckpointReader.flat(
                CheckpointReader.tensors("\(path)/\(Self.modelFile)"), prefix: "",
                layout: material.network.parameters, file: "\(path)/\(Self.modelFile)")
        ]
        for name in material.configuration.optimizer.stateNames {
            guard !beginsAnew else {
                parts.append(FloatBuffer(count: material.network.parameters.elementCount))
                continue
            }
            parts.append(
                try CheckpointReader.flat(
                    optimizer, prefix: "\(name).", layout: material.network.parameters,
                    file: "\(path)/\(Self.optimizerFile)"))
        }
        return Checkpoint(step: step, parts: parts)
    }

    /// What is wrong with the newest checkpoint, as the end of a sentence; empty when there is none.
    package var newestFault: String {
        guard let step = Self.steps(in: directory).last else { return "" }
        do throws(Failure) {
            _ = try read(step: step)
            return ""
        } catch {
            return "; the newest: \(error.text)"
        }
    }

    /// What decides the bits must be as it was when the checkpoint was written, or as it was changed
    /// to since.
    private func requireSameRun(_ state: CheckpointState, _ path: String) throws(Failure) {
        let changes = unannounced(state)
        guard !changes.isEmpty else { return }
        let list = changes.map {
            "\($0.key) \(SettingChange.short($0.from)), asked for is \(SettingChange.short($0.to))"
        }
        throw .data(
            "\(path): the run has \(list.joined(separator: "; ")); a run goes on with the settings "
                + "that decide its bits, or takes new ones from here on with --change-settings")
    }

    /// What differs from the settings that hold for this checkpoint by what the run has said so far.
    package func unannounced(_ state: CheckpointState) -> [SettingChange] {
        material.changes(
            from: history.settings(settings(state), at: Step(state.step)),
            isComplete: state.settings != nil)
    }

    /// What differs from the settings that the checkpoint was written with.
    package func changes(since state: CheckpointState) -> [SettingChange] {
        material.changes(from: settings(state), isComplete: state.settings != nil)
    }

    /// Those that a checkpoint of today lists, or those that one of earlier days did.
    private func settings(_ state: CheckpointState) -> [String: String] {
        if let settings = state.settings { return settings }
        return [
            RunConfiguration.Key.source: state.dataFingerprint == material.data.fingerprint
                ? material.data.sourceFingerprint ?? state.dataFingerprint : state.dataFingerprint,
            RunConfiguration.Key.seed: "\(state.seed)",
            RunConfiguration.Key.batchSize: "\(state.batchSize)",
            RunConfiguration.Key.virtualWorkers: "\(state.virtualWorkers)",
            "training.precision": state.precision,
            "training.wire-precision": state.wirePrecision ?? WirePrecision.fp32.rawValue,
            "training.backend": state.backend,
            RunConfiguration.Key.optimizer: state.optimizer,
        ]
    }

    /// Another optimizer, or one that had no state, begins with zeros.
    package func beginsAnew(_ state: CheckpointState) -> Bool {
        let optimizer = material.configuration.optimizer
        guard !optimizer.stateNames.isEmpty else { return false }
        let momentum = state.settings?[RunConfiguration.Key.momentum].flatMap(Double.init)
        return state.optimizer != optimizer.name || momentum == 0
    }

    /// The newest checkpoint that is whole, and what was wrong with newer ones.
    public func newest() -> (checkpoint: Checkpoint, skipped: [Failure])? {
        var skipped: [Failure] = []
        for step in Self.steps(in: directory).reversed() {
            do throws(Failure) { return (try read(step: step), skipped) } catch {
                skipped.append(error)
            }
        }
        return nil
    }
}
