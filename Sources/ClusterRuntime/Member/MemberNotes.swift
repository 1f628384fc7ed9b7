import ClusterProtocol
import Logging
import RunFiles

extension MemberMachine.Note {
    /// The line in the log.
    var sentence: String {
        switch self {
        case .welcomed: "welcomed by the coordinator"
        case .coordinatorSilent: "the coordinator is silent; steps go on"
        case .coordinatorBack: "the coordinator is back"
        case .introducedAgain: "the coordinator asked who this is"
        case .refusedMessage: "dropped a message that is not for this role"
        }
    }

    /// The values that go with the line in the log.
    var metadata: Logger.Metadata {
        switch self {
        case .welcomed(let run): [LogKey.runID: "\(run)"]
        case .coordinatorSilent(let seconds): ["seconds": "\(seconds)"]
        case .refusedMessage(let kind): ["kind": "\(kind)"]
        case .coordinatorBack, .introducedAgain: [:]
        }
    }
}

extension Assignment {
    /// The values that the log shows of an assignment.
    var metadata: Logger.Metadata {
        [
            LogKey.generation: "\(generation)", LogKey.virtualWorkers: "\(virtualWorkers)",
            LogKey.step: "\(fromStep)", LogKey.placement: "\(placement)",
            LogKey.instructionSet: "\(instructionSet)",
        ]
    }
}
