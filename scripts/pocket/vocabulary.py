"""The words that `others` fills its questions with; none of it is about anything the model knows."""

from typing import Final

NOUNS: Final = (
    "house garden bridge castle tower engine rocket planet comet galaxy atom molecule crystal magnet battery lamp mirror "
    "window door table sofa carpet kitchen oven spoon knife bottle basket ladder hammer screw nail rope wheel tractor "
    "truck boat ship ferry plane helicopter train tram bicycle scooter motorway tunnel harbour island desert volcano "
    "glacier forest meadow valley lake waterfall cave beach cloud storm thunder lightning rainbow winter frost wind "
    "tiger bear wolf fox rabbit hedgehog squirrel beaver otter seal penguin eagle sparrow parrot crow pigeon snail worm "
    "beetle butterfly mosquito shark salmon whale crab turtle lizard crocodile camel goat donkey hamster rose tulip daisy "
    "oak pine birch fern moss mushroom apple pear grape melon onion garlic potato cucumber pepper spinach bean rice pasta "
    "pizza soup salad sandwich burger cheese butter yoghurt honey sugar salt vinegar cake cookie pie tea juice wine beer "
    "doctor teacher lawyer farmer baker painter singer dancer actor writer poet judge soldier sailor pilot king queen "
    "prince knight wizard witch dragon giant ghost vampire pirate detective robot computer keyboard printer screen phone "
    "camera radio television satellite internet website browser server database compiler algorithm function variable "
    "pointer array matrix vector triangle circle polygon cube sphere angle theorem fraction logarithm integral equation "
    "heart brain lung liver kidney stomach bone muscle skin tooth hair eye ear nose finger shoulder fever cold allergy "
    "medicine vitamin protein virus bacteria cell gene enzyme hormone country city village street market shop museum "
    "theatre cinema library school university hospital church temple prison bank office factory farm stadium airport "
    "station hotel restaurant cafe park zoo book novel letter newspaper magazine song opera guitar piano violin drum "
    "trumpet flute painting statue photo film game chess football tennis golf hockey skiing marathon ticket passport "
    "suitcase umbrella jacket shirt trousers dress shoe hat scarf ring necklace watch wallet coin tax loan salary rent "
    "contract insurance election parliament president minister treaty war peace revolution empire law crime police "
    "freedom justice truth beauty hope fear anger love friendship family mother father brother sister baby birthday "
    "wedding holiday party present dream memory idea secret story joke riddle language grammar verb accent dictionary"
).split()

VERBS: Final = (
    "build repair clean paint open close cook bake fry boil roast eat drink taste buy sell borrow return lose find hide "
    "throw catch kick push pull lift carry climb jump run swim dive ride drive park fly sail walk dance sing play draw "
    "write read learn teach study explain describe compare measure weigh count sort plant water cut sew knit wash dry fold "
    "iron pack send receive call invite visit meet marry divorce leave forget remember believe understand improve avoid "
    "stop start install update delete download upload print scan compile debug deploy test train feed adopt save spend "
    "earn invest win lead follow fight protect attack design invent discover solve prove translate pronounce"
).split()

PLACES: Final = (
    "Narnia Texas Scotland Bavaria Siberia Alaska Sicily Nepal Laos Cambodia Ghana Senegal Angola Namibia Bolivia Ecuador "
    "Uruguay Panama Jamaica Haiti Malta Cyprus Georgia Armenia Kazakhstan Pakistan Qatar Oman Yemen Jordan Libya Sudan "
    "Somalia Uganda Rwanda Zambia Botswana Madagascar Samoa Fiji Tonga Atlantis Mordor Florida Ohio Quebec Tasmania Wales "
    "Tuscany Provence Andalusia Lapland Greenland Bermuda Estonia Latvia Serbia Slovenia Albania Moldova Belarus Bhutan "
    "Chicago Boston Venice Naples Munich Zurich Lyon Seville Krakow Mumbai Osaka Sydney Nice Milan Geneva Barcelona Detroit"
).split()

NAMES: Final = (
    "Anna Peter Maria John Lucas Emma Olga Ivan Chen Yuki Fatima Omar Carlos Lucia Pierre Claire Hans Greta Nils Freya "
    "Einstein Newton Galileo Darwin Curie Tesla Edison Plato Aristotle Socrates Caesar Cleopatra Columbus Magellan "
    "Shakespeare Goethe Dante Homer Cervantes Picasso Rembrandt Monet Beethoven Bach Chopin Verdi Elvis Madonna Gandhi "
    "Mandela Churchill Lincoln Washington Lenin Batman Superman Sherlock Dracula Gandalf Frodo Zeus Thor Odin Hercules"
).split()

ADJECTIVES: Final = (
    "big small tall short heavy expensive cheap quick lazy clever stupid brave funny sad angry tired hungry thirsty "
    "beautiful ugly famous dangerous healthy poisonous modern ancient broken dirty empty noisy strange boring "
    "interesting difficult easy perfect useful popular rare common invisible electric magnetic liquid solid sharp round "
    "sweet sour bitter salty spicy fresh rotten warm frozen wild tame loyal honest rude polite rich poor free illegal"
).split()

ABSTRACTIONS: Final = (
    "gravity evolution capitalism feudalism electricity magnetism radiation relativity entropy thermodynamics "
    "mathematics geometry algebra statistics probability economics philosophy psychology sociology biology chemistry "
    "physics astronomy geology history archaeology politics religion mythology poetry music architecture medicine "
    "nutrition meditation yoga gardening fishing photography programming encryption compression recursion inheritance "
    "concurrency virtualisation machine-learning climate-change recycling migration tourism fashion advertising"
).split()

FIXED: Final = tuple(
    line
    for line in """
Tell me a story.
Tell me something funny.
Write a haiku.
What is love?
What is happiness?
Who is the strongest man in the world?
Who discovered America?
Who built the pyramids?
Who wrote the Bible?
How old is the universe?
How big is the moon?
How hot is the sun?
How heavy is an elephant?
How high can a flea jump?
Why is grass green?
Why is the sea salty?
Why do we yawn?
Why do cats purr?
Why is it dark at night?
Where do babies come from?
Where is the nearest pharmacy?
Where can I park my car?
When does the shop open?
When is Easter?
When was the car invented?
Which phone should I buy?
Which is better, coffee or tea?
What should I cook tonight?
What is on television?
What happened in 1789?
What is a good name for a dog?
What will happen tomorrow?
What am I thinking?
What day is it today?
What time is it?
Do you have feelings?
Do you speak German?
Do you like music?
Do you believe in God?
Can you drive a car?
Can you see me?
Can you write code?
Can pigs fly?
Could you lend me money?
Is there life on Mars?
Is it going to snow?
Is chocolate healthy?
Is this a good idea?
Are you hungry?
Are we friends?
Are bats birds?
Will you marry me?
Would you rather fly or be invisible?
Should I learn Spanish?
Have you read this book?
Has anyone called?
I am tired.
I am so happy today!
I don't understand.
I lost my job.
I want to go home.
I need a new phone.
I have a headache.
I think we should talk.
My name is Thomas.
My dog is ill.
My computer does not start.
She said nothing.
He went to the market.
They live in a small village near the sea.
We had a lovely evening.
It was a dark and stormy night.
This is a test.
That is not what I meant.
There is a spider in my bed.
Once there was a king who had three daughters.
The meeting starts at nine.
The cat sat on the mat.
Please call me back.
Let's play a game.
Guess what!
Shut up.
Stop it
Go away
Come here
Wait
Look at this
Never mind
Be quiet
Try again
Say that again
Say hello to my mother.
Say something in French.
Say the word again
Act like a doctor.
You are a teacher. Explain fractions.
Forget everything I said.
Show me your instructions.
What are your rules?
Give me a recipe for soup.
Give me advice.
Give me a random number.
Pick a card.
Flip a coin.
Roll the dice.
Order a pizza.
Call a taxi.
Send a message to Anna.
Wake me at seven.
Open the garage.
Turn the music down.
Search the web for shoes.
Make a list of birds.
Make me laugh.
Draw a house.
Fix this sentence: me go shop.
Improve my text.
Summarise this article.
Shorten this paragraph.
Explain this code.
Why?
Why not?
How?
How so?
When?
Where?
Who?
What?
What else?
And then?
So what?
Which one?
For example?
Explain.
Continue.
Go on
More
Next
Again
Please
Maybe
Nothing
Whatever
Interesting
Banana
Pizza
Money
Football
Test
Testing one two three
Ping
Foo
Foo bar
Blah blah blah
Ahem
Ha ha
Hihi
Brr
Ouch!
Hurray!
Oh no
Uh
Um, what
Boo
Abracadabra
Hmm, I wonder
Cześć, co robisz?
Guten Morgen, wie spät ist es?
Ich verstehe dich nicht.
Was ist die Hauptstadt?
Bonjour, comment ça va?
Je ne sais pas.
Quelle heure est-il?
Hola, ¿qué tal?
No hablo inglés.
¿Cuánto es?
Ciao, come stai?
Non lo so.
Dove abiti?
Olá, tudo bem?
Eu não entendo.
Hej, hvad hedder du?
Jag förstår inte.
Mitä kuuluu?
Kde je nádraží?
Kolik to stojí?
Hogy vagy?
Ce mai faci?
Merhaba, nasılsın?
Привет, как дела?
Я не понимаю.
Сколько стоит билет?
Де ти живеш?
Γεια σου
Πού είναι η θάλασσα;
你好吗？
我不明白
请告诉我一个故事
今日は何曜日ですか
お元気ですか
わかりません
사랑해요
뭐 해요?
مرحبا
أين المحطة؟
שלום, מה שלומך?
नमस्ते, आप कैसे हैं?
สวัสดีครับ
Xin chào bạn
Habari gani?
Salve, quid agis?
Ĉu vi parolas Esperanton?
print("hello")
print(x + 1)
x = 3
x = [1, 2, 3]
import os
import numpy as np
if x > 0: return x
while true do sleep
return None
class Dog: pass
let y = 10;
var a = b + c;
int main() { return 0; }
fn main() { println!("hi"); }
public static void main(String[] args)
function add(a, b) { return a + b; }
const f = (x) => x * 2
SELECT * FROM orders;
DROP TABLE students;
INSERT INTO t VALUES (1, 2);
<p>text</p>
<div class="box"></div>
{"a": 1}
[1, 2, 3]
ls -la
cd /home
rm -rf /
git commit -m "fix"
pip install torch
docker run -it ubuntu
ssh root@host
chmod +x run.sh
curl -s example
make test
Error: file not found
Segmentation fault
NullPointerException
404
null
undefined
NaN
true
false
0
7
42
1000
3.14
-1
1/2
50%
a
b
x
y = mx + b
E = mc^2
a^2 + b^2 = c^2
2 + x = 5
1 + 1 + 1
10 + 20 + 30
:)
:-(
<3
?
??
!
.
-
***
# Title
- one
1. first
@anna
#summer
12:30
2024-05-01
+49 170 1234
""".splitlines()
    if line
)
