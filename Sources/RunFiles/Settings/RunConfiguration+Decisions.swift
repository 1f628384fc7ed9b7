import Checksums
import ClusterProtocol
import NeuralNetwork
import Partitions

extension RunConfiguration {
    /// A setting that decides bits, as text, under the run file's key.
    public struct Decision: Hashable, Sendable {
        public var key: String
        public var text: String
    }

    /// The text of a setting that an optimizer, say, does not have.
    package static let absent = "none"

    /// Every setting that decides bits, in the order of ``Setting/all``. The others (epochs, workers,
    /// checkpoints, audit...) may change when a run is taken up again; `training.init` decides the
    /// first step alone.
    ///
    /// - Parameters:
    ///   - data: the data set as it was found; its contents decide, not its path.
    ///   - backend: what `auto` came to.
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

    /// Keys that are named in more than one place.
    package enum Key {
        package static let source = "data.source"
        package static let partitions = "data.partitions"
        package static let model = "model"
        package static let seed = "training.seed"
        package static let batchSize = "training.batch-size"
        package static let virtualWorkers = "training.virtual-workers"
        package static let instructionSet = "training.instruction-set"
        package static let optimizer = "optimizer.name"
        package static let momentum = "optimizer.momentum"
    }
}

extension RunMaterial {
    public var decisions: [RunConfiguration.Decision] {
        configuration.decisions(
            data: data, modelFingerprint: network.fingerprint, backend: backend)
    }

    /// What of these differs from earlier ones, in the order of the list; what these do not have
    /// comes last.
    ///
    /// - Parameter isComplete: whether `earlier` has every setting of its time. A setting that it
    ///   lacks is then a difference too.
    package func changes(from earlier: [String: String], isComplete: Bool) -> [SettingChange] {
        let absent = RunConfiguration.absent
        var changes: [SettingChange] = []
        var rest = earlier
        for decision in decisions {
            let before = rest.removeValue(forKey: decision.key)
            // Left to the workers, it stays what they settled on; before that it is open.
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

    /// Equal in all processes that compute the same bits.
    public var settingsFingerprint: String {
        let text = decisions.map { "\($0.key) \($0.text)" }.joined(separator: "\n")
        return hexadecimal(SHA256.hash(data: Array(text.utf8)).prefix(8))
    }
}
