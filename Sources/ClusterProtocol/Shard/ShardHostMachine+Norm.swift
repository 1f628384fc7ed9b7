/// The exchange of the gradient's norm with the other hosts of shards.
extension ShardHostMachine {
    /// Connects to the other hosts, and asks them for sums of squares that they may have sent
    /// before this host was told of the placement.
    func introduce() -> [Action] {
        guard let exchange else { return [] }
        return [.connect(exchange.places)] + ask(exchange.hosts)
    }

    /// Takes in the places of the shards once more.
    mutating func connect(_ placements: [ShardPlacement]?) -> [Action] {
        guard let placements, exchange?.connect(placements) == true else { return [] }
        return introduce()
    }

    /// Tells the other hosts the sums of squares of a shard that is measured.
    mutating func tellNorm(of shard: ShardIndex, now: Moment) -> [Action] {
        guard exchange?.measured(shard, now: now) == true, let exchange else { return [] }
        return send([shard], step: exchange.step, to: exchange.hosts) + updateIfComplete(now: now)
    }

    /// Updates all shards once the sums of squares of all shards of the run are here.
    mutating func updateIfComplete(now: Moment) -> [Action] {
        guard exchange?.isComplete == true else { return [] }
        exchange?.advance()
        return forAll(.normKnown, now: now)
    }

    /// Sends sums of squares that another host asks for, if they are here.
    func answer(to asker: ShardIndex, _ step: Step, _ placement: Placement) -> [Action] {
        guard let answer = exchange?.answer(to: asker, step: step, placement: placement) else {
            return [.drop(.stale)]
        }
        return send(answer.shards, step: step, to: [answer.host])
    }

    /// Asks again for sums of squares that have not come.
    mutating func askForSquares(now: Moment) -> [Action] {
        ask(exchange?.hostsToAsk(configuration.retryInterval, now: now) ?? [])
    }

    private func send(_ shards: [ShardIndex], step: Step, to hosts: [PeerIdentity]) -> [Action] {
        guard let exchange, !hosts.isEmpty else { return [] }
        return shards.map {
            .sendSquares(shard: $0, step: step, placement: exchange.placement, to: hosts)
        }
    }

    private func ask(_ hosts: [PeerIdentity]) -> [Action] {
        guard let exchange, let shard = exchange.asker, !hosts.isEmpty else { return [] }
        return [
            .askSquares(
                shard: shard, step: exchange.step, placement: exchange.placement, of: hosts)
        ]
    }
}
