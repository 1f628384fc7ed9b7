import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import RunFiles

/// The command `convoy keygen`, which creates CURVE keys.
struct KeygenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keygen", abstract: "Make keys for a cluster that spans hosts.",
        discussion: """
            Without --nodes one directory serves all processes: copy it to every host. With --nodes \
            each node gets a directory of its own below the output, which lets all of them in; the \
            first node is the coordinator's. Give a directory to a process as --keys DIR.
            """)

    @Option(help: "Where the keys are written.")
    var output: String

    @Option(help: "Names of nodes, separated by commas; the first is where the coordinator runs.")
    var nodes: String?

    @Flag(help: "Nodes that have keys keep them; the others get keys, and all get to know them.")
    var add = false

    @Flag(help: "Replace keys that are there.")
    var overwrite = false

    func run() throws {
        try Terminal.run { () throws(RunError) -> Int in
            if add, overwrite { throw .usage("--add and --overwrite exclude each other") }
            let generator = KeyGenerator(
                output: output, present: add ? .keep : overwrite ? .overwrite : .refuse)
            guard let nodes else {
                try generator.makeShared()
                Terminal.show("keys for a whole cluster: \(output)")
                Terminal.show("  copy it to every host (scp -rp) and give --keys DIR to each process")
                return ExitCode.done
            }
            let names = nodes.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            for name in try generator.make(nodes: names) {
                Terminal.show("keys of \(name): \(output)/\(name)")
            }
            return ExitCode.done
        }
    }
}
