import SafeTensors
import Testing

@Suite struct MalformedFileTests {
    static func file(_ header: String, dataByteCount: Int) -> [UInt8] {
        let text = Array(header.utf8)
        return (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text
            + [UInt8](repeating: 0, count: dataByteCount)
    }

    static func kind(_ bytes: [UInt8]) -> SafeTensorsError.Kind? {
        do throws(SafeTensorsError) {
            _ = try SafeTensorsFile.parse(bytes)
        } catch {
            return error.kind
        }
        return nil
    }

    static let entry = #""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#

    @Test(
        arguments: [
            ("{\(entry)}", 8, nil),
            ("{\(entry)}  \n", 8, nil),
            (
                #"{ "a" : { "data_offsets" : [ 0 , 8 ] , "shape" : [ 2 ] , "dtype" : "F32" } }"#, 8,
                nil
            ),
            (#"{"\u0061\ud83d\ude00":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8, nil),
            ("{\(entry)}", 7, .truncated),
            ("{\(entry)}", 9, .trailingBytes),
            ("{}", 1, .trailingBytes),
            ("{\(entry),\(entry)}", 8, .duplicateName),
            (#"{"__metadata__":{"k":"1","k":"2"}}"#, 0, .duplicateName),
            (
                #"{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8,
                .duplicateName
            ),
            (#"{"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}}"#, 8, .unknownDataType),
            (#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8, .sizeMismatch),
            (
                #"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#, 8,
                .sizeMismatch
            ),
            (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8, .badOffsets),
            (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}"#, 8, .badOffsets),
            (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12, .badOffsets),
            (
                #"{\#(entry),"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12,
                .badOffsets
            ),
            (#"{\#(entry),"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8, .badOffsets),
            (
                #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9223372036854775808]}}"#, 8,
                .malformedHeader
            ),
            (#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, 8, .malformedHeader),
            (#"{"a":{"dtype":"F32","shape":[02],"data_offsets":[0,8]}}"#, 8, .malformedHeader),
            (#"{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}"#, 8, .malformedHeader),
            (#"{"a":{"dtype":"F32","shape":[2]}}"#, 8, .malformedHeader),
            (
                #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":"y"}}"#, 8,
                .malformedHeader
            ),
            (#"{"a":null}"#, 0, .malformedHeader),
            (#"{"__metadata__":{"k":1}}"#, 0, .malformedHeader),
            (#"{"__metadata__":{"\ud800":"1"}}"#, 0, .malformedHeader),
            ("{\(entry)} x", 8, .malformedHeader),
            ("{\(entry),}", 8, .malformedHeader),
            (" {\(entry)}", 8, .malformedHeader),
            ("[]", 0, .malformedHeader),
            ("{\"a", 0, .malformedHeader),
        ] as [(String, Int, SafeTensorsError.Kind?)])
    func headersAreCheckedWhole(
        header: String, dataByteCount: Int, expected: SafeTensorsError.Kind?
    ) {
        #expect(Self.kind(Self.file(header, dataByteCount: dataByteCount)) == expected)
    }

    @Test func headerLengthsAreBounded() {
        #expect(Self.kind([]) == .truncated)
        #expect(Self.kind([2, 0, 0, 0, 0, 0, 0]) == .truncated)
        #expect(Self.kind([2, 0, 0, 0, 0, 0, 0, 0]) == .truncated)
        #expect(Self.kind([0, 0, 0, 0, 0, 0, 0, 0]) == .malformedHeader)
        #expect(Self.kind([UInt8](repeating: 0xFF, count: 8)) == .malformedHeader)
        // One more than 100 MB, in little-endian order.
        #expect(Self.kind([0x01, 0xE1, 0xF5, 0x05, 0, 0, 0, 0]) == .malformedHeader)
        #expect(Self.kind([0x00, 0xE1, 0xF5, 0x05, 0, 0, 0, 0]) == .truncated)
    }

    @Test func errorsSayWhereAndWhat() {
        let text = #"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#
        #expect {
            try SafeTensorsFile.parse(Self.file(text, dataByteCount: 8), file: "model.safetensors")
        } throws: { error in
            "\(error)"
                == "model.safetensors: tensor a of shape [3] and F32: "
                + "expected 12 bytes, found 8 bytes"
        }
    }

    /// For any bytes, reading returns or throws; it never traps.
    @Test func damagedFilesOnlyThrow() {
        var random = SystemRandomNumberGenerator()
        let original = SafeTensorsFileTests.writtenByPython
        for length in 0..<original.count { _ = Self.kind(Array(original.prefix(length))) }
        for _ in 0..<20_000 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: index)
                default: bytes.insert(bytes.randomElement(using: &random)!, at: index)
                }
            }
            _ = Self.kind(bytes)
        }
    }
}
