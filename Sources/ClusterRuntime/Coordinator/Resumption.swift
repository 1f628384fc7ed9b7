import ClusterProtocol
import RunFiles

/// The point at which a run is resumed: its newest complete checkpoint, the knowledge from its
/// journal, and whether its settings have changed.
struct Resumption {
    /// The settings of the coordinator, without former members when the run's settings are changed.
    var settings: CoordinatorProcess.Settings
    /// The run's checkpoints.
    let store: CheckpointStore
    /// The checkpoint that the run goes on from.
    let start: Checkpoint
    /// The reasons why newer checkpoints cannot be used.
    let skipped: [RunError]
    /// What the journal tells of the run, with the present change added.
    private(set) var known: CoordinatorMachine.Recovery
    /// The change of settings that the journal does not contain yet.
    let change: SettingsHistory.Entry?
    /// Whether the optimizer's state begins with zeros: the optimizer was changed, or the former
    /// one had no state.
    let optimizerBeginsAnew: Bool

    /// Finds the newest complete checkpoint and compares its settings with the present ones.
    ///
    /// - Throws: `.checkpoint` when there is no complete checkpoint, and when settings that decide
    ///   bits differ from the run's and are not to be changed; `.configuration` when the run is
    ///   past its last step already.
    init(
        _ settings: CoordinatorProcess.Settings, _ material: RunMaterial, fence: RunFence
    ) throws(RunError) {
        let directory = settings.directory
        var known = try JournalReader.recovery(directory)
        let any = CheckpointStore(
            directory.checkpoints, material: material, history: known.history, mayDiffer: true)
        guard let newest = any.newest() else {
            throw .checkpoint(
                "\(directory.checkpoints): there is no whole checkpoint to go on from"
                    + any.newestFault)
        }
        start = newest.checkpoint
        skipped = newest.skipped
        let step = start.step
        guard step <= material.totalSteps else {
            throw .configuration(
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
        // Members that are still at work use the former settings, so they are not taken back.
        if !unannounced.isEmpty { self.settings.mayHaveMembers = false }
        optimizerBeginsAnew = any.beginsAnew(state)
        // The run file may name another source by now. The checkpoint names the one that it was
        // trained on.
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

    /// Returns the change of settings to record; nil when there is none, or the journal contains it
    /// already.
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
