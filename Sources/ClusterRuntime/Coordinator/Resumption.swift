import ClusterProtocol
import RunFiles

/// Where a run is taken up: its newest whole checkpoint, what its journal says, and whether the
/// settings are those it had.
struct Resumption {
    var settings: CoordinatorProcess.Settings
    let store: CheckpointStore
    let start: Checkpoint
    let skipped: [Failure]
    private(set) var known: CoordinatorMachine.Recovery
    /// What the journal has yet to say of changed settings.
    let change: SettingsHistory.Entry?
    let optimizerBeginsAnew: Bool

    /// - Throws: 65 without a whole checkpoint, for settings that decide bits and are not the
    ///   run's, unless they are to be changed, and when the goal is behind.
    init(
        _ settings: CoordinatorProcess.Settings, _ material: RunMaterial, fence: RunFence
    ) throws(Failure) {
        let directory = settings.directory
        var known = try JournalReader.recovery(directory)
        let any = CheckpointStore(
            directory.checkpoints, material: material, history: known.history, mayDiffer: true)
        guard let newest = any.newest() else {
            throw .data(
                "\(directory.checkpoints): there is no whole checkpoint to go on from"
                    + any.newestFault)
        }
        start = newest.checkpoint
        skipped = newest.skipped
        let step = start.step
        guard step <= material.totalSteps else {
            throw .data(
                "\(directory.path): it is at step \(step) already, asked for are "
                    + "\(material.totalSteps) steps; name more with --steps or --epochs, or leave "
                    + "both out")
        }
        let state = try CheckpointReader.state(any.path(step: step))
        let unannounced = any.unannounced(state)
        if !settings.changesSettings, !unannounced.isEmpty {
            _ = try CheckpointStore(
                directory.checkpoints, material: material, history: known.history
            ).read(step: step)
        }
        self.settings = settings
        // Whoever is still at work is so with the settings of before.
        if !unannounced.isEmpty { self.settings.mayHaveMembers = false }
        optimizerBeginsAnew = any.beginsAnew(state)
        // The run file may say something else by now; the checkpoint says what it was trained on.
        let model = "\(any.path(step: step))/\(CheckpointStore.modelFile)"
        change = Self.change(any.changes(since: state), at: Step(step), known.history) {
            (try? CheckpointReader.tensors(model))?.metadata["data"]
        }
        if let change {
            known.add(
                .changed(
                    step: change.step, settings: change.changes,
                    formerSource: change.formerSource))
        }
        self.known = known
        store = CheckpointStore(
            directory.checkpoints, material: material, history: known.history, fence: fence)
    }

    /// Nil when the journal says so already.
    private static func change(
        _ changes: [SettingChange], at step: Step, _ history: SettingsHistory,
        source: () -> String?
    ) -> SettingsHistory.Entry? {
        let later = history.entries.filter { $0.step >= step }
        if later.isEmpty, changes.isEmpty { return nil }
        if later.count == 1, later[0].step == step, later[0].changes == changes { return nil }
        let isOtherData = changes.contains { $0.key == RunConfiguration.Key.source }
        let former = later.first { $0.formerSource != nil }?.formerSource
        return SettingsHistory.Entry(
            step: step, changes: changes, formerSource: isOtherData ? former ?? source() : nil)
    }
}
