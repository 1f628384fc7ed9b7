import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import Partitions
import RunFiles

/// The command `convoy partition`, which writes a data set as a partitioned directory.
struct PartitionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "partition",
        abstract: "Write a data set as a directory of partitions with a manifest.")

    @Option(help: "Data set: \(DataSpecification.forms).")
    var data: String

    @Option(help: "Pieces the training records are cut into.")
    var partitions: Int

    @Option(help: "A directory that does not exist yet, or is empty.")
    var output: String

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            guard partitions >= 1 else {
                throw .usage("--partitions: expected at least 1, found \(partitions)")
            }
            let dataSet = try ModelOptions.open(data: data, partitionCount: partitions)
            do throws(DataError) {
                let manifest = try PartitionWriter.write(
                    dataSet, partitionCount: partitions, directory: output)
                Terminal.show(
                    "\(manifest.recordCount(.training)) training records in "
                        + "\(manifest.training.count) partitions, \(manifest.recordCount(.test)) "
                        + "test records in \(manifest.test.count): \(output)")
            } catch {
                throw RunError(error)
            }
            return ExitCode.done
        }
    }
}
