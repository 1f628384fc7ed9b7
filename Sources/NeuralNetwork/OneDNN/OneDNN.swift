import COneDNN
import Synchronization

/// The oneDNN library in this process.
public enum OneDNN {
    /// The instruction set this process computes with, once an engine exists.
    private static let settled = Mutex<String?>(nil)

    /// oneDNN's name for the best this host runs: "sse41", "avx2", "avx512_core_bf16" and so on;
    /// "default" on processors other than x86-64. Asking settles nothing.
    public static var hostInstructionSet: String {
        String(cString: convoy_dnnl_host_instruction_set())
    }

    /// What this process computes with; nil before the first engine.
    public static var settledInstructionSet: String? { settled.withLock { $0 } }

    /// The library's version at run time, such as "2.6.3".
    public static var version: String {
        var (major, minor, patch): (Int32, Int32, Int32) = (0, 0, 0)
        convoy_dnnl_version(&major, &minor, &patch)
        return "\(major).\(minor).\(patch)"
    }

    /// True where the second set has every instruction of the first.
    public static func instructionSet(_ first: String, runsOn second: String) -> Bool {
        if first == second { return true }
        let needed = convoy_dnnl_instruction_set_bits(first)
        return needed != 0 && needed & convoy_dnnl_instruction_set_bits(second) == needed
    }

    /// Caps the process's instruction set, before anything else of oneDNN is used.
    ///
    /// oneDNN takes one cap in the life of a process, so a second, different one is an error; nil
    /// means whatever was settled before, or this host's best.
    /// - Returns: the instruction set in force.
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

    /// Makes the calling thread run everything by itself.
    static func useOneThread() throws(BackendError) {
        try check(convoy_dnnl_use_one_thread(), "holding oneDNN to one thread")
    }

    static func check(
        _ status: Int32, _ doing: @autoclosure () -> String
    ) throws(BackendError) {
        if status == 0 { return }
        throw failure("\(doing()): \(String(cString: convoy_dnnl_message()))")
    }

    static func failure(_ problem: String) -> BackendError {
        BackendError(backend: .oneDNN, problem: problem)
    }
}
