import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;

/** Java's two clients: arguments are the proxy's host and port and a file; prints each answer. */
public class Client {
  private static InetSocketAddress proxy;

  public static void main(String[] args) throws Exception {
    proxy = new InetSocketAddress(args[0], Integer.parseInt(args[1]));
    Path big = Path.of(args[2]);
    // By default it asks for HTTP/2 over cleartext (Upgrade: h2c).
    HttpClient client = HttpClient.newBuilder().proxy(ProxySelector.of(proxy)).build();
    System.out.print(send(client, "/java/get", BodyPublishers.noBody(), "GET", false));
    System.out.print(send(client, "/chunked", BodyPublishers.noBody(), "GET", false));
    System.out.print(send(client, "/java/file", BodyPublishers.ofFile(big), "POST", true));
    BodyPublisher unknown = BodyPublishers.ofInputStream(() -> open(big));
    System.out.print(send(client, "/java/stream", unknown, "PUT", false));
    System.out.print(call("/java/url", null));
    System.out.print(call("/java/url/stream", big));
    System.out.println(chat(client));
    System.exit(0);
  }

  private static String send(HttpClient client, String path, BodyPublisher body, String method, boolean expects)
      throws Exception {
    HttpRequest request =
        HttpRequest.newBuilder(URI.create("http://web" + path)).method(method, body).expectContinue(expects).build();
    return client.send(request, BodyHandlers.ofString()).body();
  }

  private static String call(String path, Path file) throws IOException {
    Proxy through = new Proxy(Proxy.Type.HTTP, proxy);
    HttpURLConnection connection = (HttpURLConnection) new URL("http://web" + path).openConnection(through);
    if (file != null) {
      connection.setRequestMethod("POST");
      connection.setDoOutput(true);
      connection.setChunkedStreamingMode(0);
      try (OutputStream out = connection.getOutputStream()) {
        Files.copy(file, out);
      }
    }
    try (InputStream in = connection.getInputStream()) {
      return new String(in.readAllBytes());
    }
  }

  private static InputStream open(Path file) {
    try {
      return Files.newInputStream(file);
    } catch (IOException error) {
      throw new RuntimeException(error);
    }
  }

  private static CharSequence chat(HttpClient client) throws Exception {
    CompletableFuture<CharSequence> heard = new CompletableFuture<>();
    WebSocket.Listener listener =
        new WebSocket.Listener() {
          @Override
          public CompletionStage<?> onText(WebSocket socket, CharSequence text, boolean last) {
            heard.complete(text);
            return null;
          }
        };
    WebSocket socket = client.newWebSocketBuilder().buildAsync(URI.create("ws://web/chat"), listener).join();
    socket.sendText("hello", true);
    return heard.get();
  }
}
