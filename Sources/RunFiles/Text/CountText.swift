/// Counts with their nouns.
public enum CountText {
    /// "1 host", "3 hosts".
    public static func of(_ count: Int, _ one: String, _ many: String) -> String {
        "\(NumberText.grouped(count)) \(count == 1 ? one : many)"
    }
}
