import ClusterProtocol

/// Heartbeats and progress, nearly all that a coordinator hears, without a general JSON coder, which
/// takes many times as long.
///
/// Written with their keys in one order and without spaces, and read where they are just so; whatever
/// looks different is left to the general decoder, which comes to the same message or refuses it.
enum FrequentMessages {
    /// The body of a message of these kinds; nil of others.
    static func encode(_ message: ControlMessage) -> String? {
        switch message {
        case .heartbeat(let beat):
            let memory = beat.residentByteCount.map { ",\"residentByteCount\":\($0)" } ?? ""
            return "{\"generation\":\(beat.generation.value),\"step\":\(beat.step.value),"
                + "\"isReady\":\(beat.isReady),\"computeMicroseconds\":\(beat.computeMicroseconds),"
                + "\"inputMicroseconds\":\(beat.inputMicroseconds),"
                + "\"waitMicroseconds\":\(beat.waitMicroseconds)\(memory)}"
        case .progress(let progress):
            let reports = progress.reports.map { report in
                "{\"step\":\(report.step.value),\"sampleCount\":\(report.sampleCount),"
                    + "\"lossBits\":\(report.lossBits),\"correctCount\":\(report.correctCount),"
                    + "\"recordDigest\":\(report.recordDigest)}"
            }
            return "{\"shard\":\(progress.shard.value),\"placement\":\(progress.placement),"
                + "\"step\":\(progress.step.value),\"reports\":[\(reports.joined(separator: ","))]}"
        default: return nil
        }
    }

    /// Nil when the bytes are another message, written in another way, or none.
    static func decode(_ bytes: [UInt8]) -> ControlMessage? {
        bytes.withUnsafeBufferPointer { bytes in
            var scanner = Scanner(bytes)
            guard scanner.has("{\"version\":"), scanner.number() == ControlMessage.version,
                scanner.has(",\"kind\":\"")
            else { return nil }
            let message: ControlMessage?
            if scanner.has("heartbeat\",\"body\":{") {
                message = heartbeat(&scanner)
            } else if scanner.has("progress\",\"body\":{") {
                message = progress(&scanner)
            } else {
                return nil
            }
            return scanner.has("}}") && scanner.isAtEnd ? message : nil
        }
    }

    private static func heartbeat(_ scanner: inout Scanner) -> ControlMessage? {
        guard scanner.has("\"generation\":"), let generation = scanner.number(below: 1 << 48),
            scanner.has(",\"step\":"), let step = scanner.number(below: 1 << 48),
            scanner.has(",\"isReady\":"), let isReady = scanner.boolean(),
            scanner.has(",\"computeMicroseconds\":"), let compute = scanner.number(),
            scanner.has(",\"inputMicroseconds\":"), let input = scanner.number(),
            scanner.has(",\"waitMicroseconds\":"), let wait = scanner.number()
        else { return nil }
        var beat = Heartbeat(
            generation: Generation(generation), step: Step(step), isReady: isReady,
            computeMicroseconds: compute, inputMicroseconds: input, waitMicroseconds: wait)
        if scanner.has(",\"residentByteCount\":") {
            guard let memory = scanner.number() else { return nil }
            beat.residentByteCount = memory
        }
        return .heartbeat(beat)
    }

    private static func progress(_ scanner: inout Scanner) -> ControlMessage? {
        guard scanner.has("\"shard\":"), let shard = scanner.number(below: 1 << 16),
            scanner.has(",\"placement\":"), let placement = scanner.number(),
            scanner.has(",\"step\":"), let step = scanner.number(below: 1 << 48),
            scanner.has(",\"reports\":[")
        else { return nil }
        var reports: [StepReport] = []
        while scanner.has(reports.isEmpty ? "{" : ",{") {
            guard let report = report(&scanner), scanner.has("}") else { return nil }
            reports.append(report)
        }
        guard scanner.has("]") else { return nil }
        return .progress(
            ClusterProtocol.Progress(
                shard: ShardIndex(shard), placement: placement, step: Step(step),
                reports: reports))
    }

    private static func report(_ scanner: inout Scanner) -> StepReport? {
        guard scanner.has("\"step\":"), let step = scanner.number(below: 1 << 48),
            scanner.has(",\"sampleCount\":"), let samples = scanner.number(),
            scanner.has(",\"lossBits\":"), let loss = scanner.word(),
            scanner.has(",\"correctCount\":"), let correct = scanner.number(),
            scanner.has(",\"recordDigest\":"), let digest = scanner.word()
        else { return nil }
        return StepReport(
            step: Step(step),
            totals: ContributionTotals(
                sampleCount: samples, lossSum: Double(bitPattern: loss), correctCount: correct,
                recordDigest: digest))
    }

    private struct Scanner {
        private let bytes: UnsafeBufferPointer<UInt8>
        private var position = 0

        init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

        var isAtEnd: Bool { position == bytes.count }

        /// Goes past the text, if it comes next.
        mutating func has(_ text: StaticString) -> Bool {
            let count = text.utf8CodeUnitCount
            guard bytes.count - position >= count else { return false }
            for offset in 0..<count where bytes[position + offset] != text.utf8Start[offset] {
                return false
            }
            position += count
            return true
        }

        mutating func boolean() -> Bool? { has("true") ? true : has("false") ? false : nil }

        mutating func number(below bound: Int) -> Int? {
            guard let number = number(), number < bound else { return nil }
            return number
        }

        mutating func number() -> Int? { digits() }

        mutating func word() -> UInt64? { digits() }

        /// Digits as JSON has them, of a number that is not negative.
        private mutating func digits<Number: FixedWidthInteger>() -> Number? {
            let start = position
            var value: Number = 0
            while position < bytes.count, (0x30...0x39).contains(bytes[position]) {
                let (tens, isTooLarge) = value.multipliedReportingOverflow(by: 10)
                let (sum, isTooMuch) = tens.addingReportingOverflow(Number(bytes[position] - 0x30))
                guard !isTooLarge, !isTooMuch else { return nil }
                value = sum
                position += 1
            }
            let count = position - start
            return count == 0 || count > 1 && bytes[start] == 0x30 ? nil : value
        }
    }
}
