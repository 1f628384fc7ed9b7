import ClusterRuntime
import Glibc
import RunFiles
import TestSupport
import Testing

extension Integration {
    @Suite(.enabled(if: FashionMNIST.isFast)) struct MemoryTests {
        private static let mebibyte = 1024

        /// Returns the peak resident memory of the run's processes, by role, in KiB.
        private func peaks(_ run: TrainRun, until isOver: () -> Bool) -> [String: Int] {
            var peaks: [String: Int] = [:]
            while !isOver() {
                for role in ["coordinator", "server", "worker"] {
                    for identifier in ProcessTable.identifiers(
                        role, mentioning: run.records.directory.path)
                    {
                        let peak = ProcessTable.peakResidentKiB(identifier) ?? 0
                        peaks[role] = max(peaks[role] ?? 0, peak)
                    }
                }
                usleep(20_000)
            }
            return peaks
        }

        @Test func cnnOnFashionMNIST() throws {
            let directory = try TemporaryDirectory()
            var configuration = RunConfiguration()
            configuration.training.steps = 300
            configuration.training.checkpointEvery = 50
            let run = try TrainRun(configuration, in: directory, "run")
            let peaks = peaks(run) { run.command.hasEnded }
            _ = try run.weights()
            #expect((1..<400 * Self.mebibyte).contains(peaks["worker"] ?? 0), "\(peaks)")
            #expect((1..<100 * Self.mebibyte).contains(peaks["server"] ?? 0), "\(peaks)")
            #expect((1..<100 * Self.mebibyte).contains(peaks["coordinator"] ?? 0), "\(peaks)")
        }

        @Test func noGrowthOverEpochs() throws {
            let directory = try TemporaryDirectory()
            let data = try SampleData(trainingCount: 6003, testCount: 203).write(to: directory)
            var configuration = try RunConfiguration.sample(data, steps: 6000)
            configuration.training.checkpointEvery = 500
            let run = try TrainRun(configuration, in: directory, "run")
            let early = peaks(run) { run.records.checkpoints.last ?? 0 >= 1500 }
            let late = peaks(run) { run.command.hasEnded }
            _ = try run.weights()
            for (role, peak) in early {
                let growth = (late[role] ?? 0) - peak
                #expect(growth < 12 * Self.mebibyte, "\(role): \(early) \(late)")
            }
        }
    }
}
