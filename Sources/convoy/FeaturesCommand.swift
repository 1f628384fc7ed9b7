import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import Partitions
import RunFiles

/// The command `convoy features`, which keeps a trunk's outputs as a partitioned directory.
struct FeaturesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "features",
        abstract: "Write a node's outputs as a data set to train the rest of the model on.",
        discussion: """
            The output directory receives the partitions, and of the rest of the model head.yaml and \
            head.safetensors. To train a new last layer named fc:
              convoy train --data partitions:DIR --model DIR/head.yaml --init DIR/head.safetensors \
            --init-except 'fc.*'
            """)

    @OptionGroup var model: ModelOptions

    @Option(help: "The node whose outputs are kept; convoy models lists the nodes.")
    var node: String

    @OptionGroup var data: DataSourceFlags

    @Option(help: "A directory that does not exist yet, or is empty.")
    var output: String

    @Option(help: "Pieces the training records are cut into; a partitioned directory keeps its own.")
    var partitions: Int?

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            let chosen = try data.source()
            let partitions = partitions ?? chosen.configuration.data.partitions
            guard partitions >= 1 else {
                throw .usage("--partitions: expected at least 1, found \(partitions)")
            }
            let computation = try model.computation()
            let whole = try model.load()
            let trunk = try whole.trunk(to: node)
            let source = try chosen.open(partitionCount: partitions)
            let features = try trunk.features(of: source, computation)
            let manifest: PartitionManifest
            do throws(DataError) {
                manifest = try PartitionWriter.write(
                    features, partitionCount: source.partitions.count, directory: output)
            } catch {
                throw RunError(error)
            }
            Terminal.show(
                "\(manifest.recordCount(.training)) training and \(manifest.recordCount(.test)) test "
                    + "records of \(manifest.shape), \(manifest.name): \(output)")
            try writeHead(of: whole)
            return ExitCode.done
        }
    }

    /// Writes the rest of the model beside the partitions, where there is a rest that reads the node
    /// alone.
    private func writeHead(of model: Model) throws(RunError) {
        let head: Model
        do throws(RunError) { head = try model.head(after: node) } catch {
            return Terminal.warn("no head.yaml is written: \(error.text)")
        }
        try FileSystem.write(
            Array(head.network.specification.yaml.utf8), to: "\(output)/head.yaml")
        try head.save(to: "\(output)/head.safetensors")
        Terminal.show("the rest of the model: \(output)/head.yaml, \(output)/head.safetensors")
    }
}
