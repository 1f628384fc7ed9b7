/// Numbers as people read them.
public enum NumberText {
    /// "1,234,567".
    public static func grouped(_ number: Int) -> String {
        var digits = Array("\(number.magnitude)")
        var index = digits.count - 3
        while index > 0 {
            digits.insert(",", at: index)
            index -= 3
        }
        return (number < 0 ? "-" : "") + String(digits)
    }

    /// With so many places after the point.
    public static func fixed(_ value: Double, _ places: Int) -> String {
        // The bits of a NaN are nothing to show.
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
