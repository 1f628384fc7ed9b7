import ClusterProtocol
import Testing

/// How a coordinator answers a hello, given the connection it came over.
@Suite struct ConnectionTests {
    private func machine(servers: Int = 1, open: String? = nil) -> CoordinatorMachine {
        var configuration = CoordinatorMachine.Configuration(
            run: "run", tree: ReductionTree(leafCount: 2),
            plan: SlicePlan(parameterCount: 32, shardCount: 1), serverCount: servers,
            workerCount: 1, startStep: Step(0), totalSteps: Step(4), stepsPerEpoch: 4,
            evaluationChunkCount: 1, heartbeatInterval: .seconds(1), build: "b",
            backend: "reference",
            data: DataSummary(
                name: "d", shape: [1, 1, 1], classCount: 2, testCount: 1, fingerprint: "d",
                partitionRecordCounts: [1]), modelFingerprint: "m", configurationText: "",
            bulkEndpoint: "tcp://127.0.0.1:1")
        configuration.openEndpoint = open
        return CoordinatorMachine(configuration)
    }

    /// The text of the refusal; nil when the sender was welcomed.
    private func refusal(
        _ role: Role = .server, at endpoint: String?, key: String? = nil,
        over connection: Connection = Connection(), _ machine: CoordinatorMachine
    ) throws -> String? {
        let peer = PeerIdentity(role: role, random: 1)
        let hello = Hello(
            identity: peer, role: role, host: "h", processIdentifier: 1, threadCount: 1, build: "b",
            backends: ["reference"], instructionSet: "generic", bulkEndpoint: endpoint,
            publicKey: key)
        var machine = machine
        let actions = machine.step(
            .message(.hello(hello), from: peer, over: connection), now: .zero)
        for case .send(let message, _) in actions {
            switch message {
            case .refused(let failure): return failure.text
            case .welcome: return nil
            default: break
            }
        }
        throw RunError.fault("no answer: \(actions)")
    }

    @Test func announcedAddresses() throws {
        let remote = Connection(isFromThisHost: false)
        let local = machine()
        #expect(try refusal(at: "tcp://127.0.0.1:5", local) == nil)
        #expect(try refusal(at: "tcp://10.0.0.1:5", over: remote, local) == nil)
        #expect(try refusal(at: nil, local) == nil)
        for endpoint in ["tcp://127.0.0.1:5", "tcp://[::1]:5", "tcp://localhost:5", "ipc://x"] {
            let text = try refusal(at: endpoint, over: remote, local)
            #expect(text?.contains(endpoint) == true, "\(endpoint)")
            #expect(try refusal(.worker, at: endpoint, over: remote, local) != nil)
        }
        for endpoint in ["tcp://0.0.0.0:5", "tcp://10.0.0.1:*", "inproc://x", "", "nonsense"] {
            #expect(try refusal(at: endpoint, local) != nil, "\(endpoint)")
        }
    }

    /// A server's loopback address is refused: other hosts would connect to themselves.
    @Test func loopbackInAnOpenRun() throws {
        let open = "tcp://10.0.0.9:5555"
        let text = try refusal(at: "tcp://127.0.0.1:5", machine(open: open))
        #expect(text?.contains("--coordinator \(open)") == true)
        // With servers, workers host no shards, so a worker's loopback address does no harm.
        #expect(try refusal(.worker, at: "tcp://127.0.0.1:5", machine(open: open)) == nil)
        #expect(
            try refusal(.worker, at: "tcp://127.0.0.1:5", machine(servers: 0, open: open)) != nil)
    }

    @Test func keys() throws {
        let proven = Connection(publicKey: "k")
        #expect(try refusal(at: "tcp://10.0.0.1:5", key: "k", over: proven, machine()) == nil)
        for claimed in ["other", nil] {
            let text = try refusal(
                at: "tcp://10.0.0.1:5", key: claimed, over: proven, machine())
            #expect(text?.contains("key") == true)
        }
    }
}
