import ClusterProtocol
import Testing

@Suite struct WirePrecisionTests {
    @Test func bytesAndTypes() {
        #expect(WirePrecision.allCases.map(\.rawValue) == ["fp32", "bf16"])
        #expect(WirePrecision.fp32.byteCount(elementCount: 7) == 28)
        #expect(WirePrecision.bf16.byteCount(elementCount: 7) == 14)
        #expect(WirePrecision.fp32.payloadType == .float32)
        #expect(WirePrecision.bf16.payloadType == .bfloat16)
        #expect(WirePrecision.fp32.sharedPayloadType == .sharedFloat32)
        #expect(WirePrecision.bf16.sharedPayloadType == .sharedBFloat16)
        #expect(
            PayloadType.allCases.filter(\.isShared)
                == WirePrecision.allCases.map(\.sharedPayloadType))
        for precision in WirePrecision.allCases {
            #expect(precision.payloadType.unitByteCount == precision.byteCount(elementCount: 1))
            #expect(precision.sharedPayloadType.unitByteCount == SharedPayload.byteCount)
        }
    }

    /// Only the weights that are evaluated travel as fp32: those at the end of an epoch and of the
    /// run.
    @Test func masterWeightsTravelWhereTheyAreEvaluated() {
        let plan = WirePlan(precision: .bf16, stepsPerEpoch: 5, totalSteps: Step(12))
        let whole = (0...12).filter { plan.weights(at: Step($0)) == .fp32 }
        #expect(whole == [5, 10, 12])
        #expect(plan.precision == .bf16)
        let plain = WirePlan(precision: .fp32, stepsPerEpoch: 5, totalSteps: Step(12))
        #expect((0...12).allSatisfy { plain.weights(at: Step($0)) == .fp32 })
    }
}
