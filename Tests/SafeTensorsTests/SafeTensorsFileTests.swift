import FoundationEssentials
import SafeTensors
import Testing

@Suite struct SafeTensorsFileTests {
    /// Written by Python's safetensors 0.8.0 from NumPy arrays: weights F32 [[1.5, -2], [0.25,
    /// 3e10]], labels I32 [1, -2, 2147483647], mask BOOL [1, 0, 1], metadata {"model": "cnn
    /// \"a\"\né"}.
    static let writtenByPython: [UInt8] =
        [0xE0, 0, 0, 0, 0, 0, 0, 0]
        + Array(
            (#"{"__metadata__":{"model":"cnn \"a\"\né"},"weights":{"dtype":"F32","shape":[2,2],"#
                + #""data_offsets":[0,16]},"labels":{"dtype":"I32","shape":[3],"#
                + #""data_offsets":[16,28]},"mask":{"dtype":"BOOL","shape":[3],"data_offsets":[28,31]}} "#)
                .utf8)
        + [
            0x00, 0x00, 0xC0, 0x3F, 0x00, 0x00, 0x00, 0xC0, 0x00, 0x00, 0x80, 0x3E, 0x76, 0x84,
            0xDF, 0x50,
            0x01, 0x00, 0x00, 0x00, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0x01, 0x00,
            0x01,
        ]

    static let tensors = [
        SafeTensor(name: "weights", shape: [2, 2], floats: [1.5, -2, 0.25, 3e10]),
        SafeTensor(name: "labels", shape: [3], int32s: [1, -2, 2_147_483_647]),
        SafeTensor(name: "mask", dataType: .BOOL, shape: [3], bytes: [1, 0, 1]),
    ]
    static let metadata = ["model": "cnn \"a\"\né"]

    private func withFile(_ body: (String) throws -> Void) throws {
        let path = FileManager.default.temporaryDirectory.path + "/\(UUID().uuidString).safetensors"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    @Test func readsWhatPythonWrote() throws {
        let file = try SafeTensorsFile.parse(Self.writtenByPython)
        #expect(file.metadata == Self.metadata)
        #expect(file.tensors.map(\.name) == ["weights", "labels", "mask"])
        #expect(try file["weights"]?.floats() == [1.5, -2, 0.25, 3e10])
        #expect(file["weights"]?.shape == [2, 2])
        #expect(try file["labels"]?.int32s() == [1, -2, 2_147_483_647])
        #expect(file["mask"]?.bytes == [1, 0, 1])
    }

    @Test func writesTheBytesPythonWrites() throws {
        let bytes = try SafeTensorsFile.encode(tensors: Self.tensors, metadata: Self.metadata)
        #expect(bytes == Self.writtenByPython)
    }

    @Test(arguments: [false, true])
    func filesReadBackWholeOrInParts(synchronizing: Bool) throws {
        try withFile { path in
            try SafeTensorsFile.write(
                path: path, tensors: Self.tensors, metadata: Self.metadata,
                synchronizing: synchronizing)
            let file = try SafeTensorsFile.read(path: path)
            #expect(file == SafeTensorsFile(tensors: Self.tensors, metadata: Self.metadata))
            #expect(try SafeTensorsFile.readTensor("labels", path: path) == Self.tensors[1])
            let header = try SafeTensorsFile.readHeader(path: path)
            #expect(header.dataOffset % 8 == 0)
            #expect(header["mask"]?.byteRange == header.dataOffset + 28..<header.dataOffset + 31)
            #expect(header.metadata == Self.metadata)
            #expect(throws: SafeTensorsError.self) {
                try SafeTensorsFile.readTensor("absent", path: path)
            }
        }
    }

    @Test func scalarsAndEmptyTensorsAreTensorsToo() throws {
        let tensors = [
            SafeTensor(name: "none", shape: [0, 3], floats: []),
            SafeTensor(name: "one", shape: [], floats: [7]),
            SafeTensor(name: "also none", shape: [0], floats: []),
        ]
        let bytes = try SafeTensorsFile.encode(tensors: tensors)
        #expect(try SafeTensorsFile.parse(bytes).tensors == tensors)
        let empty = try SafeTensorsFile.encode(tensors: [])
        #expect(try SafeTensorsFile.parse(empty).tensors.isEmpty)
    }

    @Test func namesSurviveWhateverTheyHold() throws {
        let name = "a\"\\/\u{1}\n\t\u{7F}é\u{1F600}"
        let bytes = try SafeTensorsFile.encode(
            tensors: [SafeTensor(name: name, shape: [1], floats: [1])], metadata: [name: name])
        let file = try SafeTensorsFile.parse(bytes)
        #expect(file.tensors[0].name == name)
        #expect(file.metadata == [name: name])
    }

    @Test func narrowFloatsWidenExactly() throws {
        let halves: [(UInt16, Float)] = [
            (0x0000, 0), (0x8000, -0.0), (0x3C00, 1), (0xC000, -2), (0x7BFF, 65504),
            (0x0001, 0x1p-24),
            (0x83FF, -0x1.ff8p-15), (0x0400, 0x1p-14), (0x7C00, .infinity), (0xFC00, -.infinity),
        ]
        let bytes = halves.flatMap { [UInt8(truncatingIfNeeded: $0.0), UInt8($0.0 >> 8)] }
        let half = SafeTensor(name: "h", dataType: .F16, shape: [halves.count], bytes: bytes)
        #expect(try half.floats().map(\.bitPattern) == halves.map(\.1.bitPattern))
        let brain = SafeTensor(
            name: "b", dataType: .BF16, shape: [2], bytes: [0x80, 0x3F, 0x40, 0xC0])
        #expect(try brain.floats() == [1, -3])
        let double = SafeTensor(name: "d", dataType: .F64, shape: [0], bytes: [])
        #expect(throws: SafeTensorsError.self) { try double.floats() }
        #expect(throws: SafeTensorsError.self) { try brain.int32s() }
    }

    @Test func writingRefusesWhatReadersWould() {
        func kind(_ tensors: [SafeTensor]) -> SafeTensorsError.Kind? {
            do throws(SafeTensorsError) { _ = try SafeTensorsFile.encode(tensors: tensors) } catch {
                return error.kind
            }
            return nil
        }
        let one = SafeTensor(name: "a", shape: [1], floats: [1])
        #expect(kind([one, one]) == .duplicateName)
        #expect(kind([SafeTensor(name: "__metadata__", shape: [1], floats: [1])]) == .duplicateName)
        #expect(kind([SafeTensor(name: "a", shape: [2], floats: [1])]) == .sizeMismatch)
        #expect(kind([SafeTensor(name: "a", shape: [-1], floats: [])]) == .sizeMismatch)
        let byte = SafeTensor(name: "b", dataType: .U8, shape: [1], bytes: [1])
        #expect(kind([byte, one]) == .badOffsets)
        #expect(kind([one, byte]) == nil)
    }

    @Test func troubleOfTheSystemIsNamed() {
        func error(_ path: String) -> SafeTensorsError? {
            do throws(SafeTensorsError) {
                try SafeTensorsFile.write(path: path, tensors: Self.tensors)
            } catch {
                return error
            }
            return nil
        }
        #expect(error("/dev/full")?.found.contains("No space left on device") == true)
        #expect(error("/no such directory/x")?.found.contains("No such file or directory") == true)
        #expect(error("/")?.kind == .inputOutput)
        #expect(throws: SafeTensorsError.self) { try SafeTensorsFile.read(path: "/no such file") }
        #expect(throws: SafeTensorsError.self) { try SafeTensorsFile.read(path: "/dev/zero") }
        #expect(throws: SafeTensorsError.self) { try SafeTensorsFile.read(path: "/") }
    }
}
