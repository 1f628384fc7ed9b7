import ClusterProtocol
import RunFiles

extension CoordinatorProcess.Plan {
    /// Returns what the coordinator's machine must know of the run.
    func decisions(_ sockets: CoordinatorSockets) -> CoordinatorMachine.Configuration {
        let cluster = settings.configuration.cluster
        let training = settings.configuration.training
        var decisions = CoordinatorMachine.Configuration(
            run: settings.directory.path, tree: material.tree, plan: material.slicePlan,
            serverCount: cluster.servers, workerCount: cluster.workers,
            startStep: Step(start.step), totalSteps: Step(material.plannedSteps),
            stepsPerEpoch: material.batchPlan.stepsPerEpoch,
            evaluationChunkCount: material.evaluationChunkCount,
            heartbeatInterval: cluster.heartbeatInterval, startTimeout: settings.startTimeout,
            lossTimeout: settings.lossTimeout, build: HostFacts.build,
            backend: material.backend.rawValue,
            instructionSet: material.backend != .oneDNN ? "generic" : training.instructionSet,
            data: material.data, modelFingerprint: material.network.fingerprint,
            configurationText: settings.configuration.yaml,
            bulkEndpoint: "\(sockets.announced.stateForMembers)")
        decisions.fanIn = cluster.fanIn
        decisions.keepsGoing = training.keepsGoing
        decisions.exchangesNorms = training.clipNorm != nil
        decisions.rules = material.evaluationRules
        decisions.settingsFingerprint = material.settingsFingerprint
        decisions.goesOn = material.plannedSteps < material.totalSteps
        decisions.isUnfrozen = material.isUnfrozen
        decisions.membersRejoin = settings.keepsEndpoints
        if material.unfreezeStep != nil {
            // Members of the other plan join anew.
            decisions.formerSettingsFingerprint = material.settingsFingerprint(
                isUnfrozen: !material.isUnfrozen)
        }
        decisions.history = recovery?.history ?? SettingsHistory()
        decisions.dataEndpoint = "\(sockets.announced.dataForMembers)"
        decisions.openEndpoint =
            sockets.control.endpoint.isLocal ? nil : "\(sockets.announced.control)"
        return decisions
    }
}
