/// Writes counts with their nouns.
public enum CountText {
    /// Returns a count with the noun in the singular or the plural: "1 host", "3 hosts".
    public static func of(_ count: Int, _ one: String, _ many: String) -> String {
        "\(NumberText.grouped(count)) \(count == 1 ? one : many)"
    }
}
