import ClusterRuntime
import RunFiles
import TestSupport
import Testing

extension Integration {
    /// Settings that have no or another effect than they say are reported.
    @Suite struct RemarksTests {
        @Test func settingsWithoutEffect() throws {
            let directory = try TemporaryDirectory()
            let data = try SampleData().write(to: directory)
            var configuration = try RunConfiguration.sample(data, steps: 9)
                .with(workers: 1, threads: 64, servers: 0)
            configuration.training.backend = .native
            configuration.training.epochs = 2
            configuration.training.batchSize = 600
            configuration.training.virtualWorkers = 300
            configuration.training.auditRate = 0.5
            configuration.training.instructionSet = "avx2"
            configuration.cluster.fanIn = 3
            let told = try TrainRun(configuration, in: directory, "told").command.finish()
            #expect(told.exitCode == 0, "\(told)")
            for line in [
                "training.batch-size 600 is more than the 203 training records",
                "training.virtual-workers 300 is more than the 203 training records",
                "training.steps 9 is more than the 2 steps of training.epochs 2",
                "training.instruction-set avx2 has no effect",
                "training.audit 0.5 has no effect with one worker",
                "cluster.fan-in 3 has no effect with servers 0",
            ] { #expect(told.output.contains(line), "\(line): \(told)") }
        }

        @Test func moreWorkersAndThreadsThanShares() throws {
            let directory = try TemporaryDirectory()
            let data = try SampleData().write(to: directory)
            var configuration = try RunConfiguration.sample(data, steps: 3)
                .with(workers: 3, threads: 64, servers: 1)
            configuration.training.virtualWorkers = 2
            let told = try TrainRun(configuration, in: directory, "told").command.finish()
            #expect(told.exitCode == 0, "\(told)")
            #expect(told.output.contains("cluster.workers 3 is more than the 2 virtual"), "\(told)")
            #expect(told.output.contains("a worker starts 2"), "\(told)")
        }

        /// Settings that have their effect are not remarked on.
        @Test func nothingElseIsSaid() throws {
            let directory = try TemporaryDirectory()
            let data = try SampleData().write(to: directory)
            let configuration = try RunConfiguration.sample(data, steps: 3)
                .with(workers: 2, threads: 2, servers: 1)
            let quiet = try TrainRun(configuration, in: directory, "quiet").command.finish()
            #expect(quiet.exitCode == 0, "\(quiet)")
            #expect(!quiet.output.contains("no effect"), "\(quiet)")
            #expect(!quiet.output.contains("is more than"), "\(quiet)")
        }
    }
}
