import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import Partitions
import RunFiles

/// The command `convoy partition`, which writes a data set as a partitioned directory.
struct PartitionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "partition",
        abstract: "Write a data set as a directory of partitions with a manifest.",
        discussion: """
            For instance:
              convoy partition --data images:photos --image-size 64x64 --partitions 8 --output parts
            """)

    @OptionGroup var data: DataSourceFlags

    @Option(help: "Pieces the training records are cut into; may be left out with --config.")
    var partitions: Int?

    @Option(help: "A directory that does not exist yet, or is empty.")
    var output: String

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            let source = try data.source()
            guard partitions != nil || source.hasFile else {
                throw .usage("expected --partitions N, or --config FILE")
            }
            let partitions = partitions ?? source.configuration.data.partitions
            guard partitions >= 1 else {
                throw .usage("--partitions: expected at least 1, found \(partitions)")
            }
            let dataSet = try source.open(partitionCount: partitions)
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
