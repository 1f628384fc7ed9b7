/// Writes numbers for people.
public enum NumberText {
    /// Returns a number with its digits in groups of three: "1,234,567".
    public static func grouped(_ number: Int) -> String {
        var digits = Array("\(number.magnitude)")
        var index = digits.count - 3
        while index > 0 {
            digits.insert(",", at: index)
            index -= 3
        }
        return (number < 0 ? "-" : "") + String(digits)
    }

    /// Returns a positive number with up to four significant digits: "0.1", "0.01", "0.004096".
    public static func significant(_ value: Double) -> String {
        guard value.isFinite, value > 1e-9, value < 1e9 else { return "\(value)" }
        var (scaled, places) = (value, 3)
        while scaled < 1 { (scaled, places) = (scaled * 10, places + 1) }
        var text = fixed(value, places)
        while text.hasSuffix("0") { text.removeLast() }
        return text.hasSuffix(".") ? String(text.dropLast()) : text
    }

    /// Returns a number with a fixed number of decimal places.
    ///
    /// A number that is not finite, or is 10¹² or more in magnitude, is written as Swift prints it.
    public static func fixed(_ value: Double, _ places: Int) -> String {
        // Swift prints the payload of a NaN, which says nothing to people.
        guard !value.isNaN else { return "nan" }
        guard value.isFinite, abs(value) < 1e12 else { return "\(value)" }
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        let scaled = Int((abs(value) * scale).rounded())
        if places == 0 { return "\(value < 0 ? "-" : "")\(scaled)" }
        let fraction = "\(scaled % Int(scale))"
        let padded = String(repeating: "0", count: places - fraction.count) + fraction
        return "\(value < 0 ? "-" : "")\(scaled / Int(scale)).\(padded)"
    }
}
