/// Finds the word that a misspelt word probably stands for.
public enum Spelling {
    /// Returns the candidate that needs the fewest single-letter changes, or nil when every
    /// candidate needs too many. Upper and lower case are equal, and `-`, `_` and spaces do not
    /// count.
    public static func nearest(to name: String, among candidates: [String]) -> String? {
        let wanted = simplified(name)
        guard wanted.count <= 64 else { return nil }
        var best: (candidate: String, distance: Int)?
        for candidate in candidates {
            let distance = distance(wanted, simplified(candidate))
            if distance < best?.distance ?? Int.max { best = (candidate, distance) }
        }
        guard let best, best.distance <= max(1, wanted.count / 3) else { return nil }
        return best.candidate
    }

    private static func simplified(_ text: String) -> [Character] {
        Array(text.lowercased().filter { $0 != "-" && $0 != "_" && $0 != " " })
    }

    /// Returns the number of letters to insert, delete or exchange (Levenshtein's distance).
    private static func distance(_ a: [Character], _ b: [Character]) -> Int {
        var previous = Array(0...b.count)
        for (i, letter) in a.enumerated() {
            var current = [i + 1]
            for (j, other) in b.enumerated() {
                let exchanged = previous[j] + (letter == other ? 0 : 1)
                current.append(min(exchanged, previous[j + 1] + 1, current[j] + 1))
            }
            previous = current
        }
        return previous[b.count]
    }
}
