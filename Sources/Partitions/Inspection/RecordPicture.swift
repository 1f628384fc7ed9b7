import Pictures

/// Pixels in shape [height, width, channels] with 1 or 3 channels.
struct RecordPicture {
    let width: Int
    let height: Int
    let channelCount: Int
    let pixels: [UInt8]

    private init(width: Int, height: Int, channelCount: Int, pixels: [UInt8]) {
        self.width = width
        self.height = height
        self.channelCount = channelCount
        self.pixels = pixels
    }

    /// Draws a record.
    ///
    /// One and three channels are grey and RGB. A series, [C, 1, T], has a row of pixels for each
    /// channel. Of any other number of channels the first one is drawn.
    ///
    /// - Parameters:
    ///   - bytes: the elements as bytes, [C, H, W].
    ///   - shape: [C, H, W].
    ///   - isPlain: whether a row of one pixel's height is a picture and no series.
    init(_ bytes: [UInt8], shape: [Int], isPlain: Bool = false) {
        let (channels, rows, columns) = (shape[0], shape[1], shape[2])
        guard rows > 1 || channels == 3 || isPlain else {
            self.init(width: columns, height: channels, channelCount: 1, pixels: bytes)
            return
        }
        guard channels == 3 else {
            self.init(
                width: columns, height: rows, channelCount: 1,
                pixels: Array(bytes[..<(rows * columns)]))
            return
        }
        let plane = rows * columns
        var pixels = [UInt8](repeating: 0, count: 3 * plane)
        for place in 0..<plane {
            for channel in 0..<3 { pixels[3 * place + channel] = bytes[channel * plane + place] }
        }
        self.init(width: columns, height: rows, channelCount: 3, pixels: pixels)
    }

    /// Returns floats as bytes: the smallest one becomes 0, the largest one 255. Those that are not
    /// finite become 0.
    static func bytes(_ floats: some Collection<Float>) -> [UInt8] {
        let finite = floats.lazy.filter(\.isFinite)
        guard let least = finite.min(), let most = finite.max(), most > least else {
            return [UInt8](repeating: 0, count: floats.count)
        }
        let (low, span) = (Double(least), Double(most) - Double(least))
        return floats.map { value in
            value.isFinite ? UInt8(((Double(value) - low) / span * 255).rounded()) : 0
        }
    }

    /// Returns a stored record's elements as bytes.
    static func bytes(
        _ stored: ArraySlice<UInt8>, _ type: DataSetDescription.ElementType
    ) -> [UInt8] {
        type == .U8 ? Array(stored) : bytes(floats(stored))
    }

    /// Returns the floats of a stored record.
    static func floats(_ stored: ArraySlice<UInt8>) -> [Float] {
        stored.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map {
                bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self)
            }
        }
    }

    /// Returns the picture with sides of at most `side` pixels. A small picture grows by a whole
    /// factor.
    func fitted(to side: Int) -> RecordPicture {
        let longest = max(width, height)
        if longest <= side / 2 {
            let factor = side / longest
            return sampled(width: width * factor, height: height * factor)
        }
        guard longest > side else { return self }
        return sampled(
            width: max(1, width * side / longest), height: max(1, height * side / longest))
    }

    private func sampled(width newWidth: Int, height newHeight: Int) -> RecordPicture {
        var result: [UInt8] = []
        result.reserveCapacity(newWidth * newHeight * channelCount)
        for row in 0..<newHeight {
            for column in 0..<newWidth {
                let place =
                    (row * height / newHeight * width + column * width / newWidth) * channelCount
                result += pixels[place..<place + channelCount]
            }
        }
        return RecordPicture(
            width: newWidth, height: newHeight, channelCount: channelCount, pixels: result)
    }

    /// The picture as a PNG file.
    var png: [UInt8] {
        PNGEncoder.encode(width: width, height: height, channels: channelCount, pixels: pixels)
    }
}

/// A picture of some records of each class: a row for each class.
///
/// Determinism: the first stored training records of each class are drawn, so a data set always
/// gives the same pixels.
public struct ContactSheet: Sendable {
    /// A row of the sheet.
    public struct Row: Sendable, Hashable {
        /// The label; nil for records with targets.
        public var label: Int?
        /// The name of the class; "" for records with targets.
        public var name: String
        /// The numbers of the records, as they are stored.
        public var records: [Int]
    }

    /// The rows, from top to bottom.
    public let rows: [Row]
    /// The sheet as a PNG file.
    public let png: [UInt8]
    /// The number of classes that found no room.
    public let leftOutCount: Int

    /// The longest side of a record's picture, and the space around it, in pixels.
    private static let side = 96
    private static let gap = 2
    private static let rowLimit = 200

    /// Draws a sheet of a data set's training records.
    ///
    /// - Parameters:
    ///   - dataSet: the data set, without transformations.
    ///   - columnCount: the number of records in a row.
    /// - Throws: the reason when records cannot be read.
    public init(_ dataSet: DataSet, columnCount: Int = 8) throws(DataError) {
        let description = dataSet.description
        let hasLabels = description.targetCount == nil
        let classCount = hasLabels ? description.classCount : 4
        let rowCount = min(classCount, Self.rowLimit)
        let counts = description.classHistogram
        var records = [[Int]](repeating: [], count: rowCount)
        var missing =
            hasLabels
            ? (0..<rowCount).reduce(0) { $0 + min(columnCount, counts[$1]) }
            : min(description.trainingCount, rowCount * columnCount)
        var start = 0
        while missing > 0, start < description.trainingCount {
            let range = start..<min(description.trainingCount, start + 4096)
            for (index, label) in try dataSet.labels(.training, range: range).enumerated() {
                let record = start + index
                let row = hasLabels ? Int(label) : record / columnCount
                guard row < rowCount, records[row].count < columnCount else { continue }
                records[row].append(record)
                missing -= 1
            }
            start = range.upperBound
        }
        rows = records.enumerated().filter { !$1.isEmpty }.map { index, records in
            Row(
                label: hasLabels ? index : nil,
                name: hasLabels
                    ? RecordListing.className(Int32(index), description.classNames) : "",
                records: records)
        }
        leftOutCount = classCount - rowCount
        png = try Self.draw(rows, dataSet, columnCount)
    }

    private static func draw(
        _ rows: [Row], _ dataSet: DataSet, _ columnCount: Int
    ) throws(DataError) -> [UInt8] {
        let description = dataSet.description
        var pictures: [[RecordPicture]] = []
        for row in rows {
            var line: [RecordPicture] = []
            for record in row.records {
                let stored = try dataSet.stored(.training, range: record..<record + 1).images
                let bytes = RecordPicture.bytes(stored[...], description.elementType)
                line.append(RecordPicture(bytes, shape: description.shape).fitted(to: side))
            }
            pictures.append(line)
        }
        guard let first = pictures.first?.first else {
            return PNGEncoder.encode(width: 1, height: 1, channels: 1, pixels: [255])
        }
        // All records have one shape, so all cells have one size.
        let (cellWidth, cellHeight) = (first.width + gap, first.height + gap)
        let (width, height) = (columnCount * cellWidth + gap, rows.count * cellHeight + gap)
        let channels = first.channelCount
        var pixels = [UInt8](repeating: 255, count: width * height * channels)
        for (row, line) in pictures.enumerated() {
            for (column, picture) in line.enumerated() {
                let left = gap + column * cellWidth
                for y in 0..<picture.height {
                    let from = y * picture.width * channels
                    let to = ((gap + row * cellHeight + y) * width + left) * channels
                    pixels.replaceSubrange(
                        to..<to + picture.width * channels,
                        with: picture.pixels[from..<from + picture.width * channels])
                }
            }
        }
        return PNGEncoder.encode(width: width, height: height, channels: channels, pixels: pixels)
    }
}
