import ClusterProtocol
import Testing

/// The kinds of errors, and the exit codes that stand for them outside of the process.
@Suite struct RunErrorTests {
    /// The exit code of each kind, as users see it.
    private static let exitCodes: [RunError.Kind: Int] = [
        .usage: 64, .configuration: 65, .data: 65, .model: 65, .checkpoint: 65, .runDirectory: 65,
        .storage: 65, .memory: 65, .occupied: 65, .keys: 65, .host: 65, .divergence: 65, .lost: 69,
        .interrupted: 130, .fault: 70,
    ]

    @Test(arguments: RunError.Kind.allCases)
    func aKindHasAnExitCode(_ kind: RunError.Kind) {
        let failure = Failure(RunError(kind, "a line"))
        #expect(failure == Failure(text: "a line", exitCode: Self.exitCodes[kind] ?? 0))
    }

    /// What another process says keeps its exit code and its text on the way through this one.
    @Test(arguments: RunError.Kind.allCases)
    func aFailureOfAnotherProcessIsPassedOn(_ kind: RunError.Kind) {
        let said = Failure(RunError(kind, "a line"))
        #expect(Failure(RunError(said)) == said)
    }

    @Test func theKindOfAFailure() {
        let kinds: [Int: RunError.Kind] = [
            64: .usage, 65: .host, 69: .lost, 130: .interrupted, 70: .fault, 0: .fault, 127: .fault,
        ]
        for (exitCode, kind) in kinds {
            #expect(RunError(Failure(text: "", exitCode: exitCode)).kind == kind, "\(exitCode)")
        }
    }

    @Test func anErrorIsShownAsItsLine() {
        #expect("\(RunError.storage("cannot write /x: disk full"))" == "cannot write /x: disk full")
    }

    @Test func aFactoryMakesItsKind() {
        let made: [RunError] = [
            .usage("x"), .configuration("x"), .data("x"), .model("x"), .checkpoint("x"),
            .runDirectory("x"), .storage("x"), .memory("x"), .occupied("x"), .keys("x"), .host("x"),
            .divergence("x"), .lost("x"), .interrupted("x"), .fault("x"),
        ]
        #expect(made == RunError.Kind.allCases.map { RunError($0, "x") })
    }
}
