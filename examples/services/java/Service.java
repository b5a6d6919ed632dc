import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.regex.Matcher;
import java.util.stream.Collectors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Calls the Service API with the JDK alone: java Service.java. Credentials come from the environment, as on Lambda. If you use the AWS SDK, take them from
 * DefaultCredentialsProvider and sign with AwsV4HttpSigner (http-auth-aws) instead of signed.
 */
public class Service {
    static final String SERVICE = System.getenv("SERVICE_URL"); // the output ServiceApiUrl
    static final String REGION = System.getenv("AWS_REGION");

    /** Returns a signed request. Path and query are percent-encoded, with %20 for a space. */
    static HttpRequest signed(String method, String path, String body) throws Exception {
        URI uri = URI.create(SERVICE + path.replaceFirst("\\?(.*)", "?" + Matcher.quoteReplacement(query(path))).replaceFirst("\\?$", ""));
        String time = DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC).format(Instant.now());
        String scope = time.substring(0, 8) + "/" + REGION + "/execute-api/aws4_request";
        String session = System.getenv("AWS_SESSION_TOKEN");
        String headers = "host:" + uri.getAuthority() + "\nx-amz-date:" + time + "\n" + (session == null ? "" : "x-amz-security-token:" + session + "\n");
        String names = "host;x-amz-date" + (session == null ? "" : ";x-amz-security-token");
        String canonical = String.join("\n", method, encode(uri.getRawPath(), "/"), query(path), headers, names, sha256(body));
        byte[] key = ("AWS4" + System.getenv("AWS_SECRET_ACCESS_KEY")).getBytes(StandardCharsets.UTF_8);
        for (String part : scope.split("/")) key = hmac(key, part);
        String signature = HexFormat.of().formatHex(hmac(key, String.join("\n", "AWS4-HMAC-SHA256", time, scope, sha256(canonical))));
        var request = HttpRequest.newBuilder(uri).timeout(Duration.ofSeconds(30))
            .method(method, HttpRequest.BodyPublishers.ofString(body))
            .header("Content-Type", "application/json")
            .header("X-Amz-Date", time)
            .header("Authorization", "AWS4-HMAC-SHA256 Credential=" + System.getenv("AWS_ACCESS_KEY_ID") + "/" + scope
                + ", SignedHeaders=" + names + ", Signature=" + signature);
        if (session != null) request.header("X-Amz-Security-Token", session);
        return request.build();
    }

    /** Returns the canonical query of a path: pairs in order, each with an equals sign. */
    static String query(String path) {
        int at = path.indexOf('?');
        if (at < 0) return "";
        return Arrays.stream(path.substring(at + 1).replace("+", "%20").split("&")).filter(pair -> !pair.isEmpty())
            .map(pair -> pair.contains("=") ? pair : pair + "=")
            .map(pair -> encode(pair.substring(0, pair.indexOf('=')), "%") + "=" + encode(pair.substring(pair.indexOf('=') + 1), "%"))
            .sorted().collect(Collectors.joining("&"));
    }

    /** Percent-encodes all but unreserved characters and those in keep. */
    static String encode(String text, String keep) {
        StringBuilder out = new StringBuilder();
        for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
            char c = (char) (b & 0xff);
            boolean plain = c < 128 && (Character.isLetterOrDigit(c) || "-._~".indexOf(c) >= 0 || keep.indexOf(c) >= 0);
            out.append(plain ? String.valueOf(c) : String.format("%%%02X", b & 0xff));
        }
        return out.toString();
    }

    static byte[] hmac(byte[] key, String text) throws Exception {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
    }

    static String sha256(String text) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8)));
    }

    public static void main(String[] args) throws Exception {
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        if (args.length == 2) { // java Service.java GET '/proxy/users?payload=%7B%7D'
            var answer = client.send(signed(args[0], args[1], ""), BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.body());
            return;
        }
        System.out.println(client.send(signed("GET", "/token/alice", ""), BodyHandlers.ofString()).body());
        System.out.println(client.send(signed("POST", "/proxy/users", "{\"users\":{\"bob\":{\"id\":\"bob\",\"name\":\"Bob\"}}}"), BodyHandlers.ofString()).body());
    }
}
