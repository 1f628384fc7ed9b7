import ClusterHosts
import ClusterProtocol
import ClusterRuntime
import FoundationEssentials
import ZeroMQ

/// Readers of messages, as frames and pipes bring them.
extension Reader {
    static let ofMessages: [Reader] = [
        Reader(
            "bulk", "BulkMessage: header and payload of sums, weights and state",
            maximumByteCount: 256, seeds: Seeds.bulk
        ) { bytes in
            // The first frame is the header, and the rest is the payload.
            let cut = min(bytes.count, BulkHeader.byteCount)
            let frames = [bytes[..<cut], bytes[cut...]].map {
                Frame(copying: UnsafeRawBufferPointer(rebasing: $0))
            }
            let message = try BulkMessage(frames[..<(bytes.count > cut ? 2 : 1)])
            let header = try BulkHeader(bytes: UnsafeRawBufferPointer(rebasing: bytes[..<cut]))
            try ReaderFlaw.require(header.bytes, equals: Array(bytes[..<cut]), "header")
            _ = message.indices
            _ = message.flaw(expecting: .bf16, elementCount: 16)
            if let neighbour = message.neighbour {
                let payload = Array(bytes[cut...])
                try ReaderFlaw.require(neighbour.bytes, equals: payload, "neighbour")
            }
            return .taken
        },
        Reader(
            "data", "DataMessage: a stretch of a partition", maximumByteCount: 128,
            seeds: Seeds.data
        ) { bytes in
            let cut = min(bytes.count, DataHeader.byteCount)
            let frames = [bytes[..<cut], bytes[cut...]].map {
                Frame(copying: UnsafeRawBufferPointer(rebasing: $0))
            }
            guard let message = DataMessage(frames[..<(bytes.count > cut ? 2 : 1)]) else {
                return .refused
            }
            try ReaderFlaw.require(message.header.bytes, equals: Array(bytes[..<cut]), "header")
            var download = Download(message.header.object, now: .zero)
            _ = download.start(now: .zero)
            _ = download.receive(message.header, now: .seconds(1))
            _ = download.tick(now: .seconds(3))
            _ = download.receive(message.header, now: .seconds(4))
            return .taken
        },
        Reader(
            "control", "ControlCodec: any control message", maximumByteCount: 8192,
            seeds: Seeds.control
        ) { bytes in
            let message = try ControlCodec.decode(Array(bytes))
            let again = try ReaderFlaw.reread("control message") {
                try ControlCodec.decode(ControlCodec.encode(message))
            }
            try ReaderFlaw.require(again, equals: message, "control message")
            return .taken
        },
        Reader(
            "pipe", "PipeRecord: a message about shared memory",
            maximumByteCount: PipeRecord.byteCount,
            seeds: Seeds.pipe
        ) { bytes in
            // A pipe gives whole records, so a reader never gets another length.
            guard bytes.count == PipeRecord.byteCount, let record = PipeRecord(bytes) else {
                return .refused
            }
            let written = PipeRecord.bytes(record.header, record.place, from: record.sender)
            let again = written.withUnsafeBytes { PipeRecord($0) }
            try ReaderFlaw.require(again?.header.bytes, equals: record.header.bytes, "header")
            try ReaderFlaw.require(again?.place, equals: record.place, "place")
            try ReaderFlaw.require(again?.sender, equals: record.sender, "sender")
            _ = BulkMessage(record).flaw(expecting: .fp32, elementCount: 16)
            return .taken
        },
        Reader(
            "host-report", "HostReport: what a host says of itself for doctor",
            seeds: Seeds.hostReport
        ) { bytes in
            let report = try JSONDecoder().decode(HostReport.self, from: Data(bytes))
            try Text.requireLine(report.summary)
            try Text.requireLine(report.addressText)
            for finding in ClusterJudgement.findings(report) {
                try Text.requireLine(finding.line)
                try Text.requireJSON(finding.json)
            }
            return .taken
        },
        Reader(
            "endpoint", "Endpoint: an address that a peer or a user gives", maximumByteCount: 300,
            seeds: Seeds.endpoint
        ) { bytes in
            guard let text = String(validating: bytes, as: UTF8.self),
                let endpoint = Endpoint(text)
            else { return .refused }
            try ReaderFlaw.require(Endpoint("\(endpoint)"), equals: endpoint, "\(endpoint)")
            _ = (endpoint.isLocal, endpoint.isReachable, endpoint.beside(port: 1, suffix: "a"))
            return .taken
        },
    ]
}

/// Checks of text that is shown to people.
enum Text {
    /// Requires that text from outside neither steers a terminal nor begins a new line.
    static func requireLine(_ text: String) throws(ReaderFlaw) {
        let isLine = text.unicodeScalars.allSatisfy {
            $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value)
        }
        try ReaderFlaw.require(isLine, "expected one line, found \(text.debugDescription)")
    }

    /// - Throws: when the text is not JSON.
    static func requireJSON(_ text: String) throws(ReaderFlaw) {
        struct Anything: Decodable {
            init(from decoder: any Decoder) {}
        }
        _ = try ReaderFlaw.reread("JSON \(text)") {
            try JSONDecoder().decode(Anything.self, from: Data(text.utf8))
        }
    }
}
