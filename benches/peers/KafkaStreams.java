import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Properties;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Branched;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

/**
 * W1's like as a Kafka Streams topology, exactly once: {@code KafkaStreams.java BROKERS APPLICATION FROM TO DIRECTORY THREADS}.
 * An execution has ended when the transaction with its result and its offset is committed.
 */
final class W1 {
    @JsonIgnoreProperties(ignoreUnknown = true)
    record Reading(String deviceId, double temperature) {}

    record Converted(String deviceId, double celsius) {
        static Converted of(Reading reading) {
            return new Converted(reading.deviceId, (reading.temperature - 32) * 5 / 9);
        }

        Judged judged(String level) {
            return new Judged(deviceId, celsius, level);
        }
    }

    record Judged(String deviceId, double celsius, String level) {}

    private static final ObjectMapper JSON = new ObjectMapper();

    static <T> Serde<T> json(Class<T> type) {
        Serializer<T> write = (topic, value) -> {
            try {
                return JSON.writeValueAsBytes(value);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        };
        Deserializer<T> read = (topic, bytes) -> {
            try {
                return JSON.readValue(bytes, type);
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        };
        return Serdes.serdeFrom(write, read);
    }

    public static void main(String[] arguments) {
        Produced<String, Judged> results = Produced.with(Serdes.String(), json(Judged.class));
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(arguments[2], Consumed.with(Serdes.String(), json(Reading.class)))
            .mapValues(Converted::of)
            .split()
            .branch((key, converted) -> converted.celsius() > 70, Branched.withConsumer(hot ->
                hot.mapValues(converted -> converted.judged("high")).to(arguments[3], results)))
            .defaultBranch(Branched.withConsumer(other ->
                other.mapValues(converted -> converted.judged("normal")).to(arguments[3], results)));
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[1]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[4]);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, arguments[5]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }
}
