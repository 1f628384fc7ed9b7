import Checksums
import FoundationEssentials
import Pictures

/// What Scripts/golden/pictures.py wrote, and pictures drawn as it draws them.
enum Golden {
    struct File: Sendable, CustomStringConvertible {
        let name: String
        let bytes: [UInt8]
        let rgb: String
        let grey: String

        var description: String { name }
    }

    struct Resize: Sendable, CustomStringConvertible {
        let height: Int
        let width: Int
        let channels: Int
        let box: Pictures.Box
        let filter: PictureFilter
        let size: PictureOptions.Size
        let sha256: String

        var description: String {
            "\(height)x\(width)x\(channels) \(box) \(filter) to \(size.height)x\(size.width)"
        }

        var isWhole: Bool { box == Pictures.Box(top: 0, left: 0, height: height, width: width) }
    }

    static let files: [File] = lines("files").map { words in
        File(
            name: words[0], bytes: Array(Data(base64Encoded: words[1])!), rgb: words[2],
            grey: words[3])
    }

    static let resizes: [Resize] = lines("resizes").map { words in
        func number(_ index: Int) -> Int { Int(words[index])! }
        return Resize(
            height: number(0), width: number(1), channels: number(2),
            box: Pictures.Box(
                top: number(3), left: number(4), height: number(5), width: number(6)),
            filter: PictureFilter(rawValue: words[7])!,
            size: PictureOptions.Size(height: number(8), width: number(9)), sha256: words[10])
    }

    static func file(_ name: String) -> [UInt8] { files.first { $0.name == name }!.bytes }

    /// Pixels in shape [height, width, channels].
    static func drawn(height: Int, width: Int, channels: Int) -> [UInt8] {
        var levels: [UInt8] = []
        for y in 0..<height {
            for x in 0..<width {
                for c in 0..<channels {
                    let level = 3 * x * x + 7 * y + x * y + 53 * c + 11 * ((x * y) >> 3)
                    levels.append(UInt8(truncatingIfNeeded: level))
                }
            }
        }
        return levels
    }

    static func sha256(_ bytes: [UInt8]) -> String { hexadecimal(SHA256.hash(data: bytes)) }

    private static func lines(_ name: String) -> [[String]] {
        let path = #filePath.split(separator: "/").dropLast().joined(separator: "/")
        let data = try! Data(contentsOf: URL(filePath: "/\(path)/Golden/\(name).txt"))
        return String(decoding: data, as: UTF8.self).split(separator: "\n").map {
            $0.split(separator: " ").map(String.init)
        }
    }
}
