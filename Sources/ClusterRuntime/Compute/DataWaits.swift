import Logging
import RunFiles

/// The time that the compute threads of a worker waited for data, or read it themselves, in an epoch.
struct DataWaits: Sendable {
    /// The epoch; nil before its first step.
    private(set) var epoch: Int?
    /// The time in which partitions were fetched, and loaded or compared with their SHA-256.
    private var openNanoseconds: Int64 = 0
    private var inputNanoseconds: Int64 = 0
    private var computeNanoseconds: Int64 = 0

    /// Adds the times of a virtual worker in a step of an epoch, in nanoseconds.
    mutating func add(_ epoch: Int, open: Int64, input: Int64, compute: Int64) {
        if self.epoch == nil { self.epoch = epoch }
        openNanoseconds += open
        inputNanoseconds += input
        computeNanoseconds += compute
    }

    /// The waits as values of a line in the log. Times of several threads are added up.
    var metadata: Logger.Metadata {
        let total = Double(max(1, inputNanoseconds + computeNanoseconds))
        let percent = (Double(inputNanoseconds) / total * 10_000).rounded() / 100
        return [
            LogKey.epoch: "\(epoch ?? 0)",
            LogKey.dataWait: "\(inputNanoseconds / 1_000_000)",
            LogKey.dataWaitPercent: "\(percent)",
            LogKey.dataOpening: "\(openNanoseconds / 1_000_000)",
        ]
    }
}
