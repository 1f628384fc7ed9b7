/// The order of instruction sets, by oneDNN's names, from which the one that all workers can use is
/// chosen.
public enum InstructionSet {
    /// The known instruction sets, from the least to the greatest. `generic` is plain code that is the
    /// same on every host.
    public static let ascending = [
        "generic", "sse41", "avx", "avx2", "avx2_vnni", "avx2_vnni_2", "avx512_core",
        "avx512_core_vnni", "avx512_core_bf16", "avx512_core_fp16", "avx512_core_amx",
        "avx512_core_amx_fp16",
    ]

    /// Returns the position of a name in `ascending`; -1 for an unknown name.
    static func rank(_ name: String) -> Int { ascending.firstIndex(of: name) ?? -1 }

    /// Returns the least of `names`, which all hosts that have them support; nil when there are no
    /// names.
    public static func common(_ names: [String]) -> String? {
        names.min { (rank($0), $0) < (rank($1), $1) }
    }

    /// Returns whether a host that has `available` can compute with `wanted`.
    public static func supports(_ available: String, _ wanted: String) -> Bool {
        available == wanted || rank(available) >= rank(wanted) && rank(wanted) >= 0
    }
}
