/// The order of instruction sets, as oneDNN names them: which one can every worker compute with?
public enum InstructionSet {
    /// Of any host, from the least on. `generic` is plain code, the same everywhere.
    public static let ascending = [
        "generic", "sse41", "avx", "avx2", "avx2_vnni", "avx2_vnni_2", "avx512_core",
        "avx512_core_vnni", "avx512_core_bf16", "avx512_core_fp16", "avx512_core_amx",
        "avx512_core_amx_fp16",
    ]

    static func rank(_ name: String) -> Int { ascending.firstIndex(of: name) ?? -1 }

    /// The least of `names`; nil when there is none.
    public static func common(_ names: [String]) -> String? {
        names.min { (rank($0), $0) < (rank($1), $1) }
    }

    /// Whether a host that has `available` can compute with `wanted`.
    public static func supports(_ available: String, _ wanted: String) -> Bool {
        available == wanted || rank(available) >= rank(wanted) && rank(wanted) >= 0
    }
}
