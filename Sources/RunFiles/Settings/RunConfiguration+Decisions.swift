import Checksums
import ClusterProtocol
import NeuralNetwork
import Partitions

extension RunConfiguration {
    /// A setting that decides bits, as text.
    public struct Decision: Hashable, Sendable {
        /// The run file's key, for instance "training.seed".
        public var key: String
        /// The value as text, in the form in which runs are compared.
        public var text: String
    }

    /// The text of a setting that does not exist in a configuration, for instance a number that the
    /// optimizer does not have.
    package static let absent = "none"

    /// Returns every setting that decides bits, in the order of ``Setting/all``.
    ///
    /// The other settings (epochs, workers, checkpoints, audit and so on) may change when a run is
    /// resumed. `init` decides the first step only.
    ///
    /// - Parameters:
    ///   - data: the data set as it was found. Its content decides bits, its path does not.
    ///   - modelFingerprint: the fingerprint of the network.
    ///   - backend: the backend that `auto` stands for.
    public func decisions(
        data: DataSummary, modelFingerprint: String, backend: BackendKind
    ) -> [Decision] {
        let facts = Setting.ResolvedFacts(
            data: data, modelFingerprint: modelFingerprint, backend: backend)
        return Setting.all.compactMap { setting in
            switch setting.decision {
            case .no: nil
            case .value: setting.inlineText(self).map { Decision(key: setting.key, text: $0) }
            case .resolved(let text): text(self, facts).map { Decision(key: setting.key, text: $0) }
            }
        }
    }

    /// The keys of settings that are named in more than one place of the code.
    package enum Key {
        package static let source = "data.source"
        package static let partitions = "data.partitions"
        package static let transformations = "data.transformations"
        package static let model = "model"
        package static let freeze = "freeze"
        package static let seed = "training.seed"
        package static let batchSize = "training.batch-size"
        package static let virtualWorkers = "training.virtual-workers"
        package static let instructionSet = "training.instruction-set"
        package static let optimizer = "optimizer.name"
        package static let momentum = "optimizer.momentum"
    }
}

extension RunMaterial {
    /// Every setting of this run that decides bits, in the order of ``Setting/all``.
    public var decisions: [RunConfiguration.Decision] {
        configuration.decisions(
            data: data, modelFingerprint: network.fingerprint, backend: backend)
    }

    /// Returns the differences between earlier settings and those of this run, in the order of
    /// ``decisions``. Settings that this run does not have come last.
    ///
    /// - Parameters:
    ///   - earlier: the texts of the earlier settings, by key.
    ///   - isComplete: whether `earlier` has every setting of its time. If so, a setting that it
    ///     lacks is a difference too.
    package func changes(from earlier: [String: String], isComplete: Bool) -> [SettingChange] {
        let absent = RunConfiguration.absent
        var changes: [SettingChange] = []
        var rest = earlier
        for decision in decisions {
            var before = rest.removeValue(forKey: decision.key)
            if decision.key == RunConfiguration.Key.transformations {
                // Earlier builds wrote the keys of one list in any order.
                before = before.map(TransformationText.canonical)
            }
            // An instruction set that is left to the workers stays the one that they settled on.
            // Before they settle on one it is open, and so no difference.
            let isOpen = decision.key == RunConfiguration.Key.instructionSet && before == nil
            guard !isOpen, before != decision.text, before != nil || isComplete else { continue }
            changes.append(
                SettingChange(key: decision.key, from: before ?? absent, to: decision.text))
        }
        rest[RunConfiguration.Key.instructionSet] = nil
        guard isComplete else { return changes }
        for (key, before) in rest.sorted(by: { $0.key < $1.key }) where before != absent {
            changes.append(SettingChange(key: key, from: before, to: absent))
        }
        return changes.filter { $0.from != $0.to }
    }

    /// A fingerprint of ``decisions`` in 16 hexadecimal digits. It is equal in all processes that
    /// compute the same bits.
    public var settingsFingerprint: String { settingsFingerprint(isUnfrozen: isUnfrozen) }

    /// The fingerprint of this material, or of the run's other plan.
    package func settingsFingerprint(isUnfrozen: Bool) -> String {
        let text =
            decisions.map { "\($0.key) \($0.text)" }.joined(separator: "\n")
            + (isUnfrozen ? "\nunfrozen" : "")
        return hexadecimal(SHA256.hash(data: Array(text.utf8)).prefix(8))
    }
}
