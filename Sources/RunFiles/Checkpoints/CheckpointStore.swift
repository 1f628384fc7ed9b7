import Buffers
import Checksums
import ClusterProtocol
import FoundationEssentials
import NeuralNetwork
import SafeTensors
import StrictYAML

/// Reads and writes the checkpoints of a run, the directories `checkpoints/step-NNNNNNNN/`.
///
/// A checkpoint is written under a temporary name. Each file is synced, the directory is renamed,
/// and the parent directory is synced. So a checkpoint without `.tmp` in its name is complete, even
/// after a crash. The number of the step decides which checkpoint is the newest, not the file's
/// time.
public struct CheckpointStore: Sendable {
    /// The file with the weights.
    public static let modelFile = "model.safetensors"
    /// The file with the optimizer's state.
    public static let optimizerFile = "optimizer.safetensors"
    /// The file with the average of the weights, in a run that keeps one. It is a model file too.
    public static let averageFile = "ema.safetensors"
    /// The file with the description of the checkpoint, a ``CheckpointState``.
    public static let stateFile = "state.json"
    /// The number of checkpoints that are kept: the newest ones.
    public static let keptCount = 3

    /// The directory that contains the checkpoints.
    public let directory: String
    private let material: RunMaterial
    private let history: SettingsHistory
    private let mayDiffer: Bool
    /// The fence that is asked before each write; nil for a store that is only read.
    private let fence: RunFence?

    /// Creates a store for reading and writing without a fence.
    ///
    /// - Parameters:
    ///   - directory: the directory that contains the checkpoints.
    ///   - material: the run that the checkpoints must fit.
    ///   - history: the settings that were changed during the run.
    ///   - mayDiffer: whether to read checkpoints that were written with other settings too.
    public init(
        _ directory: String, material: RunMaterial, history: SettingsHistory = SettingsHistory(),
        mayDiffer: Bool = false
    ) {
        self.init(
            directory, material: material, history: history, mayDiffer: mayDiffer, fence: nil)
    }

    /// Creates a store that asks `fence` before each write.
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

    /// Returns the name of a checkpoint's directory, for instance "step-00000500".
    public static func name(step: Int) -> String {
        let digits = "\(step)"
        return "step-" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
    }

    /// Returns the step in a checkpoint's name, or nil for other names and for unfinished
    /// checkpoints.
    public static func step(name: String) -> Int? {
        guard name.hasPrefix("step-"), let step = Int(name.dropFirst(5)),
            self.name(step: step) == name
        else { return nil }
        return step
    }

    /// Returns the steps of all complete checkpoints in a directory, in ascending order.
    public static func steps(in directory: String) -> [Int] {
        FileSystem.names(in: directory).compactMap(step(name:)).sorted()
    }

    /// Returns the path of a checkpoint's directory.
    public func path(step: Int) -> String { "\(directory)/\(Self.name(step: step))" }

    // MARK: Writing

    /// Writes a checkpoint and waits until it is on disk.
    ///
    /// - Parameters:
    ///   - checkpoint: the checkpoint to write.
    ///   - instructionSet: the instruction set that the workers settled on.
    /// - Throws: `.storage` when it cannot be written; `.lost` when another coordinator has taken
    ///   the run over.
    public func write(_ checkpoint: Checkpoint, instructionSet: String) throws(RunError) {
        let final = path(step: checkpoint.step)
        let temporary = "\(final).tmp"
        try fence?.requireHeld()
        FileSystem.remove(temporary)
        do throws(RunError) {
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
            if let part = material.averagePart {
                files[Self.averageFile] = try write(
                    tensors(checkpoint.parts[part], prefix: ""),
                    to: "\(temporary)/\(Self.averageFile)")
            }
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

    /// Returns the tensors of a flat vector. A frozen one has no state of the optimizer.
    private func tensors(_ part: FloatBuffer, prefix: String) -> [SafeTensor] {
        material.network.parameters.slots.filter { prefix.isEmpty || !$0.isFrozen }.map { slot in
            SafeTensor(
                name: prefix + slot.name, dataType: .F32, shape: slot.shape,
                bytes: Array(part.bytes(slot.range)))
        }
    }

    private func write(
        _ tensors: [SafeTensor], to path: String
    ) throws(RunError) -> CheckpointState.File {
        let specification = material.network.specification
        var metadata = [
            "format": "pt", "model": specification.name, "model_file": specification.yaml,
            "data": material.configuration.data.source,
        ]
        metadata.merge(ModelInput(material.configuration, material.data).metadata) { _, new in new }
        metadata["loss"] = CheckpointReader.lossText(material.loss)
        let bytes: [UInt8]
        do throws(SafeTensorsError) {
            bytes = try SafeTensorsFile.encode(tensors: tensors, metadata: metadata)
        } catch {
            throw RunError(error)
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

    /// Returns the settings that decide bits, with the instruction set that the workers settled on
    /// where it decides bits.
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
        // This is a plain value, so encoding cannot fail.
        return (try? encoder.encode(state)).map { Array($0) } ?? []
    }

    /// Removes all but the newest ``keptCount`` checkpoints, and the remains of unfinished writes.
    ///
    /// Nothing is removed once another coordinator has taken the run over.
    ///
    /// - Parameter extra: the steps of further checkpoints that stay.
    public func prune(keeping extra: Set<Int> = []) {
        guard fence?.isHeld ?? true else { return }
        for name in FileSystem.names(in: directory) where name.hasSuffix(".tmp") {
            FileSystem.remove("\(directory)/\(name)")
        }
        for step in Self.steps(in: directory).dropLast(Self.keptCount) where !extra.contains(step) {
            // A partly removed checkpoint must not keep a name that promises a complete one.
            let temporary = "\(path(step: step)).tmp"
            try? FileSystem.rename(path(step: step), to: temporary)
            FileSystem.remove(temporary)
        }
    }

    // MARK: Reading

    /// Reads a checkpoint and checks its files, its model and, unless `mayDiffer` is set, its
    /// settings.
    ///
    /// - Throws: `.checkpoint` when a file is damaged, or when the checkpoint does not fit the run;
    ///   `.storage` when a file cannot be read.
    public func read(step: Int) throws(RunError) -> Checkpoint {
        let path = path(step: step)
        let state = try CheckpointReader.state(path)
        try CheckpointReader.verify(path, state)
        guard state.modelFingerprint == material.network.fingerprint else {
            throw .checkpoint(
                "\(path): it holds model \(state.model) (\(state.modelFingerprint)), the run has "
                    + "\(material.network.specification.name) (\(material.network.fingerprint))")
        }
        if !mayDiffer { try requireSameRun(state, path) }
        guard state.step == step else {
            throw .checkpoint("\(path): expected the state of step \(step), found \(state.step)")
        }
        let beginsAnew = beginsAnew(state)
        // What was frozen before had no state; it begins with zeros.
        let hadFrozen = state.settings?[RunConfiguration.Key.freeze] != nil
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
                    mayLack: { slot in
                        slot.isFrozen || hadFrozen && optimizer["\(name).\(slot.name)"] == nil
                    },
                    file: "\(path)/\(Self.optimizerFile)"))
        }
        if material.averagePart != nil {
            // A run that did not keep an average until here begins it with the weights.
            parts.append(
                state.files[Self.averageFile] == nil
                    ? parts[0]
                    : try CheckpointReader.flat(
                        CheckpointReader.tensors("\(path)/\(Self.averageFile)"), prefix: "",
                        layout: material.network.parameters, file: "\(path)/\(Self.averageFile)"))
        }
        return Checkpoint(step: step, parts: parts, order: material.network.parameters.order)
    }

    /// What is wrong with the newest checkpoint, as the end of a sentence. It is empty when the
    /// checkpoint can be read or when there is no checkpoint.
    package var newestFault: String {
        guard let step = Self.steps(in: directory).last else { return "" }
        do throws(RunError) {
            _ = try read(step: step)
            return ""
        } catch {
            return "; the newest: \(error.text)"
        }
    }

    /// Checks that the settings that decide bits are those of the checkpoint, or those that they
    /// were changed to since.
    private func requireSameRun(_ state: CheckpointState, _ path: String) throws(RunError) {
        let changes = unannounced(state)
        guard !changes.isEmpty else { return }
        let list = changes.map {
            "\($0.key) \(SettingChange.short($0.from)), asked for is \(SettingChange.short($0.to))"
        }
        throw .checkpoint(
            "\(path): the run has \(list.joined(separator: "; ")); a run goes on with the settings "
                + "that decide its bits, or takes new ones from here on with --change-settings")
    }

    /// Returns the differences between this run's settings and those that the run's history gives
    /// for the checkpoint.
    package func unannounced(_ state: CheckpointState) -> [SettingChange] {
        material.changes(
            from: history.settings(settings(state), at: Step(state.step)),
            isComplete: state.settings != nil)
    }

    /// Returns the differences between this run's settings and those that the checkpoint was
    /// written with.
    package func changes(since state: CheckpointState) -> [SettingChange] {
        material.changes(from: settings(state), isComplete: state.settings != nil)
    }

    /// Returns the settings that a checkpoint lists. For a checkpoint without a list, they are
    /// derived from its other fields.
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

    /// Returns whether the optimizer begins with zeros instead of the checkpoint's state.
    ///
    /// This is so after a change of the optimizer, and when the former optimizer had no momentum
    /// and so no state.
    package func beginsAnew(_ state: CheckpointState) -> Bool {
        let optimizer = material.configuration.optimizer
        guard !optimizer.stateNames.isEmpty else { return false }
        let momentum = state.settings?[RunConfiguration.Key.momentum].flatMap(Double.init)
        return state.optimizer != optimizer.name || momentum == 0
    }

    /// Reads the newest checkpoint that is complete and fits the run.
    ///
    /// - Returns: the checkpoint and the errors of the newer ones, or nil when no checkpoint can be
    ///   read.
    public func newest() -> (checkpoint: Checkpoint, skipped: [RunError])? {
        var skipped: [RunError] = []
        for step in Self.steps(in: directory).reversed() {
            do throws(RunError) { return (try read(step: step), skipped) } catch {
                skipped.append(error)
            }
        }
        return nil
    }
}
