import ClusterProtocol
import Logging
import RunFiles

extension CoordinatorMachine.Note {
    /// The level at which the note is logged.
    var level: Logger.Level {
        switch self {
        case .lost, .refused, .shardsLost, .unexpected, .goingBack: .warning
        case .disputed, .contradicted, .flawedLoss, .flawedWeights: .error
        default: .info
        }
    }

    /// The message in the log, which is the same for all notes of a kind.
    var sentence: String {
        switch self {
        case .joined: "joined"
        case .ready: "ready"
        case .refused: "refused"
        case .lost: "lost"
        case .left: "left"
        case .assigned: "assigned"
        case .relayed: "sums and weights go by relays"
        case .placing: "placing shards"
        case .shardsLost: "shards lost"
        case .waiting: "waiting"
        case .settled: "instruction set settled"
        case .stopping: "stopping"
        case .rebalanced: "rebalanced"
        case .disputed: "workers disagree about a gradient"
        case .contradicted: "a worker's gradient was contradicted by two others"
        case .unexpected: "dropped a message that was not expected"
        case .flawedLoss: "a loss is not a finite number"
        case .flawedWeights: "weights are not finite numbers"
        case .goingBack: "going back to the last finite weights"
        case .endingEarly: "ending early"
        case .rateReduced: "the learning rate is reduced"
        }
    }

    /// The facts of the note, as metadata of the log entry.
    var metadata: Logger.Metadata {
        switch self {
        case .joined(let peer), .ready(let peer), .left(let peer): peer.metadata
        case .refused(let peer, let failure):
            [LogKey.peerID: "\(peer)", LogKey.errorDetail: "\(failure.text)"]
        case .lost(let peer, let reason, let moved, let step):
            peer.metadata.merging([
                LogKey.reason: "\(reason)", LogKey.virtualWorkers: "\(moved)",
                LogKey.step: "\(step)",
            ]) { $1 }
        case .assigned(let generation, let shares):
            [LogKey.generation: "\(generation)", LogKey.virtualWorkers: "\(Self.text(shares))"]
        case .relayed(let groups):
            ["relay.groups": "\(groups.map { "\($0.node): \($0.members.count)" })"]
        case .placing(let shards, let step, let placement):
            [
                LogKey.shards: "\(shards)", LogKey.step: "\(step)",
                LogKey.placement: "\(placement)",
            ]
        case .shardsLost(let shards, let peer, let step):
            peer.metadata.merging([LogKey.shards: "\(shards)", LogKey.step: "\(step)"]) { $1 }
        case .waiting(let what): [LogKey.reason: "\(what)"]
        case .settled(let name): [LogKey.instructionSet: "\(name)"]
        case .stopping(let step): [LogKey.step: "\(step)"]
        case .disputed(let step, let virtualWorker, let parties, let asked):
            [
                LogKey.step: "\(step)", LogKey.virtualWorkers: "\(virtualWorker)",
                "audit.parties": "\(parties.map(\.place))", "audit.asked": "\(asked.map(\.place))",
            ]
        case .contradicted(let peer, let step, let virtualWorker):
            peer.metadata.merging([
                LogKey.step: "\(step)", LogKey.virtualWorkers: "\(virtualWorker)",
            ]) { $1 }
        case .rebalanced(let peer, let factor, let phase, let shares):
            peer.metadata.merging([
                "slow.factor": "\(factor)", "slow.phase": "\(phase)",
                LogKey.virtualWorkers: "\(shares.sorted { $0.key < $1.key })",
            ]) { $1 }
        case .unexpected(let kind, let peer): ["kind": "\(kind)", LogKey.peerID: "\(peer)"]
        case .flawedLoss(let step, let virtualWorker, let peer):
            (peer?.metadata ?? [:]).merging([
                LogKey.step: "\(step)",
                LogKey.virtualWorkers: "\(virtualWorker.map { "\($0)" } ?? "unknown")",
            ]) { $1 }
        case .flawedWeights(let step), .goingBack(let step): [LogKey.step: "\(step)"]
        case .endingEarly(let reason, let best):
            [LogKey.reason: "\(reason)", LogKey.step: "\(best)"]
        case .rateReduced(let change):
            [LogKey.step: "\(change.from)", "rate.factor": "\(change.factor)"]
        }
    }

    private static func text(_ shares: [String: [VirtualWorkerIndex]]) -> String {
        shares.keys.sorted().map { "\($0): \(shares[$0] ?? [])" }.joined(separator: ", ")
    }

    /// The line that the terminal shows for the note; nil for notes that only the log shows.
    var screenText: String? {
        switch self {
        case .lost(let peer, let reason, let moved, let step):
            moved.isEmpty
                ? "\(peer.place) lost at step \(step): \(reason)"
                : "\(peer.place) lost at step \(step): \(reason); its virtual workers "
                    + "\(moved) go to the others, who compute what is missing"
        case .left(let peer): "\(peer.place) leaves"
        case .refused(_, let failure): failure.text
        case .shardsLost(let shards, let peer, let step):
            "shards \(shards) were on \(peer.place); going back to the checkpoint of step \(step)"
        case .waiting(let what): what
        case .stopping(let step): "stopping at step \(step)"
        case .rateReduced(let change):
            "from step \(change.from) on the learning rate is multiplied by "
                + NumberText.significant(change.factor)
        case .flawedLoss(let step, let virtualWorker, let peer):
            "warning: the loss of step \(step.value + 1) is not a finite number"
                + (virtualWorker.map { "; the first such one is virtual worker \($0)'s" } ?? "")
                + (peer.map { ", computed by \($0.place)" } ?? "")
        case .flawedWeights(let step):
            "warning: the weights after step \(step) are not finite numbers; they are not kept"
        case .goingBack(let step):
            "computing again up to step \(step), for a checkpoint of the last finite weights"
        case .disputed(let step, let virtualWorker, let parties, let asked):
            "audit of step \(step): \(parties.map(\.place).joined(separator: " and ")) disagree "
                + "about virtual worker \(virtualWorker); asking "
                + asked.map(\.place).joined(separator: " and ")
        case .contradicted(let peer, let step, let virtualWorker):
            "\(peer.place) computed a wrong gradient for virtual worker \(virtualWorker) in step "
                + "\(step), two others agree on another: suspect the hardware or the build of host "
                + "\(peer.host)"
        case .rebalanced(let peer, let factor, let phase, let shares):
            "\(peer.place) is \(NumberText.fixed(factor, 1)) times slower than the fastest, in its "
                + "\(phase); virtual workers now: "
                + shares.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
                .joined(separator: ", ")
        default: nil
        }
    }
}

extension CoordinatorMachine.PeerSummary {
    /// The peer, as metadata of a log entry.
    var metadata: Logger.Metadata {
        [
            LogKey.peerID: "\(identity)", LogKey.peerName: "\(name)", LogKey.peerHost: "\(host)",
            LogKey.peerProcess: "\(processIdentifier)",
        ]
    }

    /// The peer in messages to people: which process, and on which host.
    var place: String { "\(name) (\(host), pid \(processIdentifier))" }
}
