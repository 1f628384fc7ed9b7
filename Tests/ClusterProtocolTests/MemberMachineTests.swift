import ClusterProtocol
import Testing

@Suite struct MemberMachineTests {
    /// A server ends when its shards cannot go on, rather than look alive while all others wait for
    /// it.
    @Test func shardsThatFailEndTheirProcess() {
        var machine = MemberMachine(
            .init(
                heartbeatInterval: .seconds(1), coordinatorTimeout: .seconds(60),
                connectTimeout: .seconds(30)))
        let failure = Failure(text: "the shard service failed", exitCode: 70)
        let actions = machine.step(.report(.failed(failure)), now: .zero)
        #expect(
            actions == [
                .send(.failed(failure)), .end(Shutdown(reason: failure.text, exitCode: 70)),
            ])
        #expect(machine.hasEnded)
    }
}
