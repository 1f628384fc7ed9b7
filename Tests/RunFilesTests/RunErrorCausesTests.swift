import ClusterProtocol
import Partitions
import RunFiles
import SafeTensors
import Testing

/// The kind of an error that another module threw. Its text is kept.
@Suite struct RunErrorCausesTests {
    private func error(_ kind: DataError.Kind) -> DataError {
        DataError(kind, file: "f", what: "w", expected: "e", found: "g", advice: "a")
    }

    @Test(arguments: [
        (DataError.Kind.badSetting, RunError.Kind.configuration), (.unknownSource, .configuration),
        (.unreadable, .data), (.missingPackage, .data), (.checksumMismatch, .data),
        (.badLedgerLine, .runDirectory), (.unwritable, .storage), (.unreachable, .lost),
    ])
    func ofData(_ cause: DataError.Kind, _ kind: RunError.Kind) {
        #expect(RunError(error(cause)) == RunError(kind, "f: w: expected e, found g; a"))
    }

    /// Only data that another process does not send ends a process with 69.
    @Test func exitCodesOfData() {
        #expect(Failure(RunError(error(.unreachable))).exitCode == 69)
        for cause in [DataError.Kind.badSetting, .unreadable, .badLedgerLine, .unwritable, .emptySet] {
            #expect(Failure(RunError(error(cause))).exitCode == 65)
        }
    }

    @Test(arguments: [
        (SafeTensorsError.Kind.inputOutput, RunError.Kind.storage), (.truncated, .checkpoint),
        (.missingTensor, .checkpoint),
    ])
    func ofWeights(_ cause: SafeTensorsError.Kind, _ kind: RunError.Kind) {
        let error = SafeTensorsError(cause, file: "f", what: "w", expected: "e", found: "g")
        #expect(RunError(error) == RunError(kind, "f: w: expected e, found g"))
        #expect(RunError(error, in: "m") == RunError(kind, "m: f: w: expected e, found g"))
    }
}
