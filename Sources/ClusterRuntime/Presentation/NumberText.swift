/// Numbers as people read them.
public enum NumberText {
    /// "1,234,567".
    public static func grouped(_ number: Int) -> String { Progress.grouped(number) }

    /// With so many places, at least 1, after the point.
    public static func fixed(_ value: Double, _ places: Int) -> String {
        Progress.fixed(value, places)
    }
}
