/// Audits: what the coordinator does when two computations of the same gradient differ.
extension CoordinatorMachine {
    /// Asks a third worker to compute the gradient; without a third worker, asks all workers to
    /// compute it once more.
    mutating func settle(_ dispute: AuditFinding) -> [Action] {
        let workers = readyPeers(.worker)
        let others = workers.filter { !dispute.peers.contains($0.hello.identity) }
        let asked = others.first.map { [$0] } ?? workers
        let order = Recompute(step: dispute.step, virtualWorker: dispute.virtualWorker)
        let parties = workers.filter { dispute.peers.contains($0.hello.identity) }
        return [
            .note(
                .disputed(
                    step: dispute.step, virtualWorker: dispute.virtualWorker,
                    parties.map(\.summary), asked: asked.map(\.summary)))
        ] + asked.map { .send(.recompute(order), to: $0.hello.identity) }
    }

    /// Removes each worker that two others contradict from the run.
    mutating func expel(_ verdict: AuditFinding, now: Moment) -> [Action] {
        verdict.peers.flatMap { peer -> [Action] in
            guard let member = peers[peer], member.hello.role == .worker else { return [] }
            let failure = Failure(
                text: "the gradient of virtual worker \(verdict.virtualWorker) in step "
                    + "\(verdict.step) computed here differs from what two other workers computed: "
                    + "suspect the hardware or the build of \(member.hello.host)",
                exitCode: ExitCode.internalError)
            return [
                .note(
                    .contradicted(
                        member.summary, step: verdict.step, virtualWorker: verdict.virtualWorker)),
                .send(.refused(failure), to: peer),
            ] + lose(peer, reason: "contradicted by two others", now: now)
        }
    }
}
