import Backends
import NeuralNetwork
import Testing

/// A process has one instruction set, so these tests run in processes of their own.
@Suite(.enabled(if: Backends.available.contains(.oneDNN), "built without oneDNN"))
struct OneDNNInstructionSetTests {
    private static func network() throws -> Network { try EngineCase.few[0].network() }

    private static func engine(_ instructionSet: String?) throws -> any GradientEngine {
        try Backends.makeEngine(
            .oneDNN, network: network(),
            configuration: EngineConfiguration(seed: 5, instructionSet: instructionSet))
    }

    /// Returns whether this host can be limited to an instruction set, by oneDNN's names and their
    /// usual inclusion.
    private static func hostHas(_ instructionSet: String) -> Bool {
        let host = Backends.hostInstructionSet(.oneDNN)
        switch instructionSet {
        case "sse41": return host != "default"
        case "avx2": return host.hasPrefix("avx2") || host.hasPrefix("avx512_core")
        case "avx512_core": return host.hasPrefix("avx512_core")
        default: return host == instructionSet
        }
    }

    /// Compares every network under a limit with the reference.
    private static func compareAll(_ instructionSet: String) throws {
        guard hostHas(instructionSet) else { return }
        _ = try engine(instructionSet)
        for testCase in EngineCase.all {
            let pair = try BackendPair(.oneDNN, testCase, tileSize: 4)
            let batch = Microbatch(pair.network, count: 6)
            expectClose(
                pair.fast.computeGradient(batch, epoch: 1).gradient,
                pair.reference.computeGradient(batch, epoch: 1).gradient, absolute: 1e-4,
                relative: 2e-4, "\(testCase.testDescription) with \(instructionSet)")
        }
    }

    @Test func agreesWithReferenceUnderSSE41() async {
        await #expect(processExitsWith: .success) { try Self.compareAll("sse41") }
    }

    @Test func agreesWithReferenceUnderAVX2() async {
        await #expect(processExitsWith: .success) { try Self.compareAll("avx2") }
    }

    @Test func agreesWithReferenceUnderAVX512() async {
        await #expect(processExitsWith: .success) { try Self.compareAll("avx512_core") }
    }

    @Test func aSecondCapIsRefused() async {
        await #expect(processExitsWith: .success) {
            guard Self.hostHas("avx2") else { return }
            _ = try Self.engine("sse41")
            _ = try Self.engine("sse41")
            _ = try Self.engine(nil)
            let error = #expect(throws: BackendError.self) { try Self.engine("avx2") }
            let text = error?.description ?? ""
            #expect(text.contains("sse41 already") && text.contains("asked for avx2"))
        }
    }

    @Test func aForeignInstructionSetIsRefused() async {
        await #expect(processExitsWith: .success) {
            let error = #expect(throws: BackendError.self) { try Self.engine("altivec") }
            #expect(error?.description.contains("asked for the instruction set altivec") == true)
            // The refusal has not fixed the instruction set.
            _ = try Self.engine(Backends.hostInstructionSet(.oneDNN))
        }
    }

    @Test func bf16NeedsItsInstructions() async {
        await #expect(processExitsWith: .success) {
            guard Self.hostHas("sse41") else { return }
            let error = #expect(throws: BackendError.self) {
                try Backends.makeEngine(
                    .oneDNN, network: Self.network(),
                    configuration: EngineConfiguration(precision: .bf16, instructionSet: "sse41"))
            }
            #expect(error?.description.contains("bf16 needs") == true)
        }
    }
}
