import Glibc

/// Numbers in decimal notation, as tables hold them.
enum DecimalText {
    /// Why a text is no number that can be stored.
    enum Flaw {
        /// The text has another form, for instance "nan" or "0,5".
        case form
        /// The number is beyond single precision.
        case range
    }

    /// Exact powers of ten.
    private static let powers: [Double] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
        1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    ]

    /// Returns the double-precision number that is nearest to a text: a sign, digits with or
    /// without a point, and an exponent, with blanks around them. Nil for any other text: there are
    /// no infinities and no hexadecimal numbers.
    ///
    /// The byte behind the text must be readable and must not continue a number.
    ///
    /// Math: a mantissa of at most 2^53 times a power of ten up to 10^22 is one rounding, hence
    /// exact to the last bit (Clinger, "How to read floating point numbers accurately", 1990). The
    /// C library, which rounds correctly too, does the rest.
    static func double(_ text: UnsafeRawBufferPointer) -> Double? {
        let text = text.trimmed
        var index = 0
        let count = text.count
        func isDigit(_ index: Int) -> Bool { index < count && text[index] &- 0x30 < 10 }
        func isSign(_ index: Int) -> Bool {
            index < count && (text[index] == UInt8(ascii: "-") || text[index] == UInt8(ascii: "+"))
        }
        let isNegative = count > 0 && text[0] == UInt8(ascii: "-")
        if isSign(0) { index = 1 }
        var mantissa: UInt64 = 0
        var exponent = 0
        var digitCount = 0
        var isShort = true
        func take(_ digit: UInt8) {
            digitCount += 1
            guard mantissa < 900_719_925_474_099 else {
                isShort = false
                return
            }
            mantissa = mantissa * 10 + UInt64(digit &- 0x30)
        }
        while isDigit(index) {
            take(text[index])
            index += 1
        }
        if index < count, text[index] == UInt8(ascii: ".") {
            index += 1
            while isDigit(index) {
                take(text[index])
                exponent -= 1
                index += 1
            }
        }
        guard digitCount > 0 else { return nil }
        if index < count, text[index] | 0x20 == UInt8(ascii: "e") {
            index += 1
            let isDivision = index < count && text[index] == UInt8(ascii: "-")
            if isSign(index) { index += 1 }
            guard isDigit(index) else { return nil }
            var written = 0
            while isDigit(index) {
                written = min(written * 10 + Int(text[index] &- 0x30), 100_000)
                index += 1
            }
            exponent += isDivision ? -written : written
        }
        guard index == count else { return nil }
        if isShort, (-22...22).contains(exponent) {
            let value = Double(mantissa)
            let scaled = exponent < 0 ? value / powers[-exponent] : value * powers[exponent]
            return isNegative ? -scaled : scaled
        }
        // The form is checked, so the C library ends where the text ends. The program never sets a
        // locale, so the point is a point.
        return strtod(text.baseAddress!.assumingMemoryBound(to: CChar.self), nil)
    }

    /// Returns the single-precision number of a text: the nearest double-precision number, rounded.
    /// NumPy and pandas do the same for a column that is read and then made float32.
    ///
    /// - Returns: the number; nil with the reason in `flaw`.
    static func float(_ text: UnsafeRawBufferPointer, flaw: inout Flaw) -> Float? {
        guard let value = double(text) else {
            flaw = .form
            return nil
        }
        let rounded = Float(value)
        guard rounded.isFinite else {
            flaw = .range
            return nil
        }
        return rounded
    }
}
