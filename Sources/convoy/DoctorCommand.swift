import ArgumentParser
import ClusterProtocol
import ClusterRuntime
import NeuralNetwork
import Partitions
import ZeroMQ

#if canImport(Glibc)
    import Glibc
#endif

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "What this host has, and whether a run can start here.")

    @Option(help: "Data set to look for.")
    var data: String = "fashion-mnist"

    func run() throws {
        try Terminal.run { () throws(Failure) -> Int in
            var failures = 0
            func check(_ what: String, _ body: () throws -> String) {
                do { Terminal.show("ok    \(what): \(try body())") } catch {
                    failures += 1
                    Terminal.show("FAIL  \(what): \(error)")
                }
            }
            check("host") {
                "\(HostFacts.hostName), \(sysconf(Int32(_SC_NPROCESSORS_ONLN))) cores, "
                    + "\((sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))) >> 20) MiB"
            }
            check("build") { "\(HostFacts.build), Swift 6" }
            check("backend") {
                let kind = try Backends.resolve(.auto)
                return "\(kind.rawValue) with \(Backends.hostInstructionSet(kind)), of "
                    + Backends.available.map(\.rawValue).joined(separator: ", ")
            }
            check("bf16") {
                Backends.hostInstructionSet(.oneDNN).contains("bf16")
                    || Backends.hostInstructionSet(.oneDNN).contains("amx")
                    || Backends.hostInstructionSet(.oneDNN).contains("fp16")
                    ? "this host computes in bf16" : "no; --precision fp32 only"
            }
            check("libzmq") {
                try LibraryVersion.current.requireSupported()
                return "\(LibraryVersion.current)"
            }
            check("encryption") {
                guard LibraryVersion.hasCurve else {
                    throw Failure.data("this libzmq was built without CURVE; --keys cannot be used")
                }
                guard let keys = try KeyRing.given(nil) else { return "CURVE; no CONVOY_KEYS" }
                return "CURVE; keys of \(keys.directory), \(keys.publicKey)"
            }
            check("loopback") {
                let context = try Context()
                let socket = try Socket(context, .router)
                let endpoint = try socket.bind("tcp://127.0.0.1:*")
                socket.close()
                context.terminate()
                return "a port was had (\(endpoint))"
            }
            check("data") {
                let description = try DataSource.describe(DataSpecification(data))
                return "\(data): \(description.trainingCount) training and "
                    + "\(description.testCount) test records of shape \(description.shape)"
            }
            return failures == 0 ? ExitCode.done : ExitCode.data
        }
    }
}
