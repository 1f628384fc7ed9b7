import COneDNN
import NeuralNetwork
import Synchronization

/// The oneDNN library in this process.
enum OneDNNLibrary {
    /// The instruction set that this process computes with, once an engine exists.
    private static let settled = Mutex<String?>(nil)

    /// The best instruction set of this host, by oneDNN's name: "sse41", "avx2", "avx512_core_bf16"
    /// and so on; "default" on processors other than x86-64. Reading it settles nothing.
    public static var hostInstructionSet: String {
        String(cString: convoy_dnnl_host_instruction_set())
    }

    /// The instruction set that this process computes with; nil before the first engine.
    public static var settledInstructionSet: String? { settled.withLock { $0 } }

    /// The library's version at run time, such as "2.6.3".
    public static var version: String {
        var (major, minor, patch): (Int32, Int32, Int32) = (0, 0, 0)
        convoy_dnnl_version(&major, &minor, &patch)
        return "\(major).\(minor).\(patch)"
    }

    /// Returns whether the second instruction set has every instruction of the first. For a name
    /// that oneDNN does not know, only an equal name gives true.
    public static func instructionSet(_ first: String, runsOn second: String) -> Bool {
        if first == second { return true }
        let needed = convoy_dnnl_instruction_set_bits(first)
        return needed != 0 && needed & convoy_dnnl_instruction_set_bits(second) == needed
    }

    /// Caps the process's instruction set. It must be called before anything else of oneDNN is
    /// used.
    ///
    /// oneDNN accepts one cap in the life of a process, so a second, different one is an error. Nil
    /// means the set that was settled before, or the best of this host.
    /// - Returns: the instruction set in force.
    /// - Throws: ``BackendError`` for a set that this host lacks, that oneDNN does not know, or
    ///   that differs from the one settled before.
    static func settle(_ wanted: String?) throws(BackendError) -> String {
        try settled.withLock { (settled) throws(BackendError) -> String in
            if let settled {
                guard wanted == nil || wanted == settled else {
                    throw failure(
                        "this process computes with the instruction set \(settled) already, "
                            + "asked for \(wanted!); oneDNN allows one in the life of a process, so "
                            + "start another process")
                }
                return settled
            }
            let host = hostInstructionSet
            let name = wanted ?? host
            guard instructionSet(name, runsOn: host) else {
                throw failure(
                    "asked for the instruction set \(name), but this host has \(host)"
                        + (convoy_dnnl_instruction_set_bits(name) == 0
                            ? " and oneDNN \(version) knows no set of that name" : ""))
            }
            if host != "default" {
                try check(
                    convoy_dnnl_set_maximum_instruction_set(name),
                    "capping the instruction set at \(name)")
                let effective = String(cString: convoy_dnnl_effective_instruction_set())
                guard effective == name else {
                    throw failure(
                        "capped the instruction set at \(name), but oneDNN \(version) says "
                            + "\(effective); name that one in the configuration")
                }
            }
            settled = name
            return name
        }
    }

    /// Makes oneDNN run all of its work for the calling thread on that thread.
    static func useOneThread() throws(BackendError) {
        try check(convoy_dnnl_use_one_thread(), "holding oneDNN to one thread")
    }

    /// Throws oneDNN's last failure on this thread unless the status is 0.
    ///
    /// - Parameter doing: the work that failed, for the message.
    static func check(
        _ status: Int32, _ doing: @autoclosure () -> String
    ) throws(BackendError) {
        if status == 0 { return }
        throw failure("\(doing()): \(String(cString: convoy_dnnl_message()))")
    }

    /// Returns an error of this backend.
    static func failure(_ problem: String) -> BackendError {
        BackendError(backend: .oneDNN, problem: problem)
    }
}
