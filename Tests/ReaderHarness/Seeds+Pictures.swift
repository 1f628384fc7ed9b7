import FoundationEssentials
import Pictures

extension Seeds {
    /// Pictures that this package does not write, made by Pillow, in base64.
    private static let encodedPictures = [
        // A JPEG with a turned picture.
        "/9j/4AAQSkZJRgABAQAAAQABAAD/4QAiRXhpZgAATU0AKgAAAAgAAQESAAMAAAABAAgAAAAAAAD/2wBD"
            + "ABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6jq62rZ4C8ybqm"
            + "x5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSk"
            + "pKSkpKSkpKSkpKSkpKT/wAARCAAFAAYDASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAL/xAAd"
            + "EAACAgEFAAAAAAAAAAAAAAABAgARIQMSQYLw/8QAFQEBAQAAAAAAAAAAAAAAAAAAAgP/xAAXEQEBAQEA"
            + "AAAAAAAAAAAAAAABAgAS/9oADAMBAAIRAxEAPwC10AH2rVMLplBGAOO3hgIiOZmgU0+03//Z",
        // A progressive JPEG of greys.
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtq"
            + "eJmBanGQc1tdhbWGkJ6jq62rZ4C8ybqmx5moq6T/wgALCAAFAAYBAREA/8QAFAABAAAAAAAAAAAAAAAA"
            + "AAAAAf/aAAgBAQAAAAF//8QAFRABAQAAAAAAAAAAAAAAAAAAABH/2gAIAQEAAQUCj//EABQQAQAAAAAA"
            + "AAAAAAAAAAAAAAD/2gAIAQEABj8Cf//EABoQAAEFAQAAAAAAAAAAAAAAAAEAESFBUfD/2gAIAQEAAT8h"
            + "E2F6O1f/2gAIAQEAAAAQ/wD/xAAZEAEAAgMAAAAAAAAAAAAAAAABESFBgfD/2gAIAQEAAT8QEqQJgEoM"
            + "c1R//9k=",
        // A JPEG of four inks.
        "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwBQNzxGPDJQRkFGWlVQX3jIgnhubnj1r7mRyP//////////////"
            + "/////////////////////////////////////8AAFAgABQAGBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAA"
            + "AAAAAAAAAAAAAAIABP/EACIQAAEBCAIDAAAAAAAAAAAAAAERAAMSITFBUfAC0SJhkf/aAA4EQwBNAFkA"
            + "SwAAPwCAAMJCi3qne0ZQJy8SAuQuO9sg7DxLGY+bsk2t/9k=",
        // A PNG with a palette and transparent colours.
        "iVBORw0KGgoAAAANSUhEUgAAAAYAAAAFAgMAAAAbNnV1AAAADFBMVEW02Y1wlbqWO2AWO2B5bbJEAAAA"
            + "AnRSTlP/AOW3MEoAAAAXSURBVHicY7hpwDRXgPHuZkZzTQaXCwAkvwS/Zjs0aAAAAABJRU5ErkJggg==",
        // A PNG of 16 bits.
        "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACEAAAAADoj+WFAAAAFklEQVR4nGNkZGBiYmJiYWNjYmJiAgAA"
            + "5wAjE11NjQAAAABJRU5ErkJggg==",
        // A WebP, lossy.
        "UklGRlIAAABXRUJQVlA4IEYAAACwAQCdASoGAAUABUB8JagCdADze7UQAPsdszI2n71jU6+1j9ANAzJv"
            + "3v4dqbwAg1v16chIJvlodeWmJudwR3DODHZk1oAA",
        // A WebP, lossless, with alpha.
        "UklGRjoAAABXRUJQVlA4TC0AAAAvBQABEM1lRP9jFxH9D4OZtm3KuGR2jczgjYI121MikE0W8X2ijdCs"
            + "wD1Y/gEA",
    ]

    static let picture: [[UInt8]] =
        [1, 3].map { channels in
            let pixels = (0..<(4 * 3 * channels)).map { UInt8(19 * $0 % 256) }
            return PNGEncoder.encode(width: 4, height: 3, channels: channels, pixels: pixels)
        } + encodedPictures.map { [UInt8](Data(base64Encoded: $0)!) }
}
